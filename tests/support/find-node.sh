#!/bin/sh
# Succeeds when Node.js 20 or newer and npm are there, which Azurite (the local Azure Storage) needs; else says so.
set -u
major=$(node --version 2>/dev/null | sed 's/^v\([0-9]*\).*/\1/')
if [ "${major:-0}" -ge 20 ] && command -v npm >/dev/null 2>&1; then
    exit 0
fi
if [ -n "$major" ]; then
    echo "Node.js 20 or newer with npm is needed for Azurite, the local Azure Storage; found $major." >&2
else
    echo "Node.js with npm was not found; Azurite, the local Azure Storage, needs it." >&2
fi
echo "Install it, for example:  apt install nodejs npm  |  brew install node  |  https://nodejs.org" >&2
exit 1
