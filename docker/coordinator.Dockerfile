# The coordinator's side. The SuperLink listens on loopback; the front is the only way in.
FROM python:3.11.13-slim-bookworm

RUN useradd --create-home --uid 10001 tomoray \
    && install -d -o tomoray -g tomoray /state /settings /run-directory
WORKDIR /opt/tomoray
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY common common
COPY client client
COPY server server
RUN pip install --no-cache-dir -c constraints.txt .

USER 10001
VOLUME ["/state", "/run-directory"]
ENTRYPOINT ["tomoray-coordinator"]
CMD ["start", "--settings", "/settings/coordinator.toml"]
