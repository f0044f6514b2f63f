# ST-VLM in a container: the build needs the base image and the package index, nothing else; the app needs no network at all.
#
#   docker build -t stvlm .
#   docker run --rm --read-only --tmpfs /tmp:size=4g --cap-drop ALL --security-opt no-new-privileges \
#     --memory 8g --pids-limit 512 -v stvlm-workspace:/workspace -p 127.0.0.1:8501:8501 stvlm
#
# It has no login: put a reverse proxy with authentication in front of it (docs/security.md).
FROM python:3.11-slim

ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app
# What it runs on, without the tests' tools; this layer is built again only when the lists change.
COPY pyproject.toml ./
COPY tools/requirements.py tools/
RUN python tools/requirements.py core app > /tmp/requirements.txt && python -m pip install -r /tmp/requirements.txt

COPY .streamlit .streamlit
COPY app.py README.md LICENSE ./
COPY pages pages
COPY stvlm stvlm
RUN python -m pip install --no-deps . && rm -r /app/*
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin stvlm && mkdir /workspace && chown stvlm /workspace
USER 10001

# All that is ever written: the workspace, and unpacked uploads under /tmp while they are read.
ENV STVLM_HOME=/workspace HOME=/workspace HF_HOME=/workspace/hub TOKENIZERS_PARALLELISM=false
VOLUME /workspace
EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s CMD ["python", "-c", \
  "import urllib.request as r; r.urlopen('http://127.0.0.1:8501/_stcore/health', timeout=4).read()"]

# Inside a container every interface is its own; outside, publish the port on the loopback of the host only, as above.
ENTRYPOINT ["stvlm", "serve", "--server.address", "0.0.0.0"]
