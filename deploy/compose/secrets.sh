#!/bin/sh
# Makes the passwords of compose.yaml, each once; what is there stays.
set -eu
umask 077
cd "$(dirname "$0")"
mkdir -p secrets
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
once() { [ -e "secrets/$1" ] || printf '%s' "$2" > "secrets/$1"; }
once postgres_password "$(random)"
once database__url "postgresql+psycopg://dicomnode:$(cat secrets/postgres_password)@postgres/dicomnode"
once web__secret "$(random)"
once grafana_password "$(random)"
once orthanc_users.json "{\"RegisteredUsers\": {\"orthanc\": \"$(random)\"}}"
# Containers read them as other users; the folder is ours alone.
chmod 644 secrets/*
