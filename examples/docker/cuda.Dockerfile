# everframe live on an NVIDIA GPU:  docker build -f examples/docker/cuda.Dockerfile -t everframe-cuda .
#   docker run --rm --gpus all -p 7860:7860 -e EVERFRAME_TOKEN=secret everframe-cuda
# The first start compiles for a minute or two; /readyz says when it is done.
# Not built by CI: there is no Docker engine there.
FROM pytorch/pytorch:2.11.0-cuda12.8-cudnn9-runtime
WORKDIR /src
COPY . .
# torch is the image's own: constraints.txt would bring the one for the tests
RUN pip install --no-cache-dir --break-system-packages '.[webrtc]' && useradd --create-home --uid 10001 everframe
USER everframe
ENV EVERFRAME_HOST=0.0.0.0 EVERFRAME_PORT=7860 EVERFRAME_ENGINE=compiled
EXPOSE 7860
HEALTHCHECK --interval=10s --timeout=3s --start-period=120s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:7860/healthz', timeout=2)"]
ENTRYPOINT ["everframe", "live", "--no-open", "--log-json"]
