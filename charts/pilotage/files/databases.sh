#!/bin/sh
# Read once by the entry point of PostgreSQL's image, in its own shell, when the disk is empty: MLflow's user and
# database, and closed doors between both. No `set -u`, which would go on to hold for the entry point.
set -e
psql --set ON_ERROR_STOP=1 --no-psqlrc --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
  --set "password=$(cat /etc/pilotage/passwords/mlflow)" --set "console=$POSTGRES_DB" <<'SQL'
CREATE ROLE mlflow LOGIN PASSWORD :'password';
CREATE DATABASE mlflow OWNER mlflow;
REVOKE ALL ON DATABASE mlflow FROM PUBLIC;
REVOKE ALL ON DATABASE :"console" FROM PUBLIC;
REVOKE ALL ON DATABASE postgres FROM PUBLIC;
SQL
