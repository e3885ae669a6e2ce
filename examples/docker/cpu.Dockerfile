# everframe live on a CPU:  docker build -f examples/docker/cpu.Dockerfile -t everframe .
#   docker run --rm -p 7860:7860 -e EVERFRAME_TOKEN=secret --read-only --tmpfs /tmp everframe
# Not built by CI: there is no Docker engine there.
FROM python:3.12-slim AS build
WORKDIR /src
COPY . .
RUN python -m venv /opt/everframe \
    && /opt/everframe/bin/pip install --no-cache-dir -c constraints.txt '.[webrtc]'

FROM python:3.12-slim
RUN useradd --create-home --uid 10001 everframe
COPY --from=build /opt/everframe /opt/everframe
USER everframe
ENV PATH=/opt/everframe/bin:$PATH EVERFRAME_HOST=0.0.0.0 EVERFRAME_PORT=7860
EXPOSE 7860
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:7860/healthz', timeout=2)"]
# EVERFRAME_TOKEN must be given: other machines can reach a container
ENTRYPOINT ["everframe", "live", "--no-open", "--log-json"]
