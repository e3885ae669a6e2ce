// @ts-check
/**
 * The other way to the server: WebRTC, for real networks, where a lost packet must not hold up all
 * later pictures. Same events and methods as `LiveClient`; the browser codes the camera itself.
 *
 *   const call = new Call({ token });
 *   await call.start({ prompt: "pencil sketch", size: [288, 224] }, stream);
 *
 * Browsers do not say when a picture that comes back was taken. The age is therefore put together
 * from what is measured: coding, half of the round trip each way, the server, buffer and decoding.
 */

const CONNECT_MS = 6000;
const GATHER_MS = 2000;
const ANSWER_MS = 30000;
const STATS_MS = 500;

/** What is shown: a frame, its size, when it was taken (by reckoning), and that its age is reckoned.
 * @typedef {{image: CanvasImageSource, width: number, height: number, captureMs: number,
 *   frameId: number, done: () => void}} Shown */

export class Call extends EventTarget {
  /** @param {{token?: string}} [options] */
  constructor(options = {}) {
    super();
    this.token = options.token ?? "";
    /** @type {import("./everframe.js").State} */
    this.state = "idle";
    this.skipped = 0;
    /** @type {Record<string, any>} */
    this.session = {};
    this.ageMs = 0;
    /** @type {RTCPeerConnection | null} */
    this._peer = null;
    /** @type {RTCDataChannel | null} */
    this._channel = null;
    /** @type {Map<string, {resolve: (m: any) => void, reject: (e: Error) => void}>} */
    this._asked = new Map();
    this._count = 0;
    this._frame = 0;
    this._serverMs = 0;
    this._timer = 0;
    this._resource = "";
    /** @type {Record<string, number>} */
    this._before = {};
  }

  /** Call the server; resolves when pictures can flow.
   * @param {Record<string, any>} settings @param {MediaStream} stream */
  async start(settings, stream) {
    this._become("connecting");
    const peer = new RTCPeerConnection();
    this._peer = peer;
    const channel = peer.createDataChannel("everframe");
    this._channel = channel;
    channel.onmessage = (event) => this._hear(JSON.parse(event.data));
    const [track] = stream.getVideoTracks();
    track.contentHint = "motion";
    peer.addTransceiver(track, {
      direction: "sendrecv",
      streams: [stream],
      sendEncodings: [{ scaleResolutionDownBy: shrink(track, settings.size) }],
    });
    peer.ontrack = (event) => this._receive(event.track);
    try {
      await peer.setLocalDescription(await peer.createOffer());
      await gathered(peer);
      await this._dial(peer, settings);
      await opened(peer, channel);
    } catch (error) {
      this._close();
      this._become("idle");
      throw error;
    }
    peer.onconnectionstatechange = () => {
      if (["failed", "closed"].includes(peer.connectionState)) this._lost();
    };
    this._timer = setInterval(() => this._measure(), STATS_MS);
    this._become("live");
    this._emit("created", this.session);
  }

  /** @param {MediaStreamTrack} track another camera, for the same session */
  async replace(track) {
    track.contentHint = "motion";
    await this._peer?.getSenders()[0]?.replaceTrack(track);
  }

  /** Change settings; resolves with the id of the first frame that has them.
   * @param {Record<string, any>} settings @returns {Promise<number>} */
  async update(settings) {
    return (await this._ask({ type: "session.update", ...settings })).frame;
  }

  /** Forget the past. @returns {Promise<number>} */
  async reset() {
    return (await this._ask({ type: "session.reset" })).frame;
  }

  /** End the session for good. */
  end() {
    if (this._resource) {
      fetch(`/rtc/${this._resource}`, { method: "DELETE", headers: this._headers() }).catch(() => {});
    }
    this._close();
    this._become("ended");
  }

  /** The server counts by itself. */
  report() {}

  _headers() {
    return this.token ? { authorization: `Bearer ${this.token}` } : {};
  }

  /** @param {RTCPeerConnection} peer @param {Record<string, any>} settings */
  async _dial(peer, settings) {
    const answer = await fetch("/api/webrtc", {
      method: "POST",
      headers: { "content-type": "application/json", ...this._headers() },
      body: JSON.stringify({
        sdp: peer.localDescription?.sdp,
        session_start: { type: "session.start", ...settings },
      }),
    });
    if (!answer.ok) throw new Error((await answer.text()).trim());
    const made = await answer.json();
    this._resource = made.resource;
    this.session = { session_id: made.session_id };
    await peer.setRemoteDescription({ type: "answer", sdp: made.sdp });
  }

  /** Show each picture of the track once it is decoded, also in a hidden tab.
   * @param {MediaStreamTrack} track */
  async _receive(track) {
    if (!("MediaStreamTrackProcessor" in globalThis)) {
      this._play(track);
      return;
    }
    // @ts-expect-error: in Chromium; not in TypeScript's library
    const reader = new MediaStreamTrackProcessor({ track, maxBufferSize: 1 }).readable.getReader();
    for (;;) {
      const { value: frame, done } = await reader.read();
      if (done) return;
      this._shown(frame, frame.displayWidth, frame.displayHeight, () => frame.close());
    }
  }

  /** The same by a video element. @param {MediaStreamTrack} track */
  _play(track) {
    const video = document.createElement("video");
    video.muted = true;
    video.srcObject = new MediaStream([track]);
    video.play();
    const next = () => {
      video.requestVideoFrameCallback(() => {
        this._shown(video, video.videoWidth, video.videoHeight, () => {});
        if (track.readyState === "live") next();
      });
    };
    next();
  }

  /** @param {CanvasImageSource} image @param {number} width @param {number} height
   * @param {() => void} done */
  _shown(image, width, height, done) {
    this._frame += 1;
    const captureMs = this.ageMs ? performance.now() - this.ageMs : NaN;
    this._emit("picture", { image, width, height, captureMs, frameId: this._frame, done });
  }

  /** Reckon the age of what is shown now. */
  async _measure() {
    const peer = this._peer;
    if (!peer) return;
    /** @type {Record<string, number>} */
    const now = {};
    let roundTrip = 0;
    for (const row of (await peer.getStats()).values()) {
      if (row.type === "candidate-pair" && row.nominated) roundTrip = row.currentRoundTripTime ?? 0;
      if (row.type === "outbound-rtp" && row.kind === "video") {
        now.coded = row.totalEncodeTime ?? 0;
        now.codedCount = row.framesEncoded ?? 0;
        now.sent = row.totalPacketSendDelay ?? 0;
        now.sentCount = row.packetsSent ?? 0;
      }
      if (row.type === "inbound-rtp" && row.kind === "video") {
        now.kept = row.totalProcessingDelay ?? 0; // first packet to decoded picture
        now.keptCount = row.framesDecoded ?? 0;
      }
    }
    const mean = (/** @type {string} */ name) => {
      const count = (now[`${name}Count`] ?? 0) - (this._before[`${name}Count`] ?? 0);
      return count > 0 ? ((now[name] ?? 0) - (this._before[name] ?? 0)) / count : 0;
    };
    const seconds = mean("coded") + mean("sent") + mean("kept") + roundTrip;
    this._before = now;
    this.ageMs = 1000 * seconds + this._serverMs;
  }

  /** @param {Record<string, any>} message */
  _hear(message) {
    const asked = this._asked.get(message.event_id);
    if (asked) {
      this._asked.delete(message.event_id);
      if (message.type === "error") asked.reject(new Error(message.message));
      else asked.resolve(message);
    } else if (message.type === "session.stats") {
      this._serverMs = message.total_ms?.p50 ?? 0;
      this._emit("stats", message);
    } else if (message.type === "session.warning") this._emit("warning", message);
    else if (message.type === "error") this._emit("problem", message);
    else if (message.type === "session.ended") {
      this._close();
      this._become("ended");
      this._emit("problem", { message: message.reason });
    }
  }

  _lost() {
    if (this.state !== "live") return;
    this._close();
    this._become("reconnecting");
    this._emit("lost", {});
  }

  _close() {
    clearInterval(this._timer);
    for (const { reject } of this._asked.values()) reject(new Error("the connection broke off"));
    this._asked.clear();
    const peer = this._peer;
    this._peer = this._channel = null;
    this._resource = "";
    peer?.close();
  }

  /** @param {Record<string, any>} message */
  _ask(message) {
    this._count += 1;
    const event_id = `c${this._count}`;
    return new Promise((resolve, reject) => {
      if (this._channel?.readyState !== "open") {
        reject(new Error("not connected"));
        return;
      }
      this._asked.set(event_id, { resolve, reject });
      this._channel.send(JSON.stringify({ ...message, event_id }));
      setTimeout(() => {
        if (this._asked.delete(event_id)) reject(new Error("no answer from the server"));
      }, ANSWER_MS);
    });
  }

  /** @param {import("./everframe.js").State} state */
  _become(state) {
    if (state === this.state) return;
    this.state = state;
    this._emit("state", state);
  }

  /** @param {string} name @param {any} detail */
  _emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

/** How much smaller than the camera the pictures may be sent: the model sees no more than its size.
 * @param {MediaStreamTrack} track @param {[number, number] | undefined} size */
function shrink(track, size) {
  const { width, height } = track.getSettings();
  if (!size || !width || !height) return 1;
  return Math.max(1, Math.min(width / size[0], height / size[1]));
}

/** All candidates are in the description, or it has taken long enough.
 * @param {RTCPeerConnection} peer @returns {Promise<void>} */
function gathered(peer) {
  return new Promise((resolve) => {
    if (peer.iceGatheringState === "complete") resolve();
    peer.addEventListener("icegatheringstatechange", () => {
      if (peer.iceGatheringState === "complete") resolve();
    });
    setTimeout(resolve, GATHER_MS);
  });
}

/** @param {RTCPeerConnection} peer @param {RTCDataChannel} channel @returns {Promise<void>} */
function opened(peer, channel) {
  return new Promise((resolve, reject) => {
    channel.onopen = () => resolve();
    peer.onconnectionstatechange = () => {
      if (peer.connectionState === "failed") reject(new Error("no way for WebRTC through this network"));
    };
    setTimeout(() => reject(new Error("WebRTC did not connect in time")), CONNECT_MS);
  });
}
