# A hospital's side. Runs as an ordinary user, opens no port, reads the archive read-only.
FROM python:3.11.13-slim-bookworm

RUN useradd --create-home --uid 10001 tomoray \
    && install -d -o tomoray -g tomoray /state /settings /archive
WORKDIR /opt/tomoray
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY common common
COPY client client
COPY server server
RUN pip install --no-cache-dir -c constraints.txt .

USER 10001
VOLUME ["/state"]
ENTRYPOINT ["tomoray-site"]
CMD ["start", "--settings", "/settings/site.toml"]
