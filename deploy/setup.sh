#!/bin/sh
# What comes before everything else, and may come again: Dagster's folder, topics, and the token that Prometheus shows.
set -eu
mkdir -p "$DAGSTER_HOME"
cp dagster.yaml "$DAGSTER_HOME/dagster.yaml"
hdfs-pipeline topics
token=${1:?where the token of Prometheus goes}
if [ ! -s "$token" ]; then
  umask 022 # Prometheus reads it as another user, from a volume that the two share
  hdfs-pipeline tokens make prometheus > "$token.new"
  mv "$token.new" "$token"
fi
