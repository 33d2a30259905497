#!/bin/sh
# Creates the databases that POSTGRES_DBS names ("pamps, pamps_test") and that don't exist yet.
#
# The image runs it when it starts with an empty volume. By hand it serves any server that psql reaches:
#
#     PGHOST=db.example.org PGUSER=admin POSTGRES_DBS="pamps, pamps_test" postgres/create-databases.sh
#
# POSTGRES_USER and POSTGRES_PASSWORD, the image's names, win over PGUSER and PGPASSWORD; the rest is libpq's own
# (PGHOST, PGPORT, PGSSLMODE, ~/.pgpass, ...). Running it again changes nothing.
set -eu

if [ -n "${POSTGRES_USER:-}" ]; then
    export PGUSER="$POSTGRES_USER"
fi
if [ -n "${POSTGRES_PASSWORD:-}" ]; then
    export PGPASSWORD="$POSTGRES_PASSWORD"
fi

# SQL takes the list apart and quotes the names: the shell would stumble over the first odd one. PGDATABASE is passed by,
# since it may well name a database that is yet to be made. The lock lets two runs at once follow each other. template0,
# since only from there UTF-8 is to be had whatever the server was set up with.
psql --no-psqlrc --quiet --tuples-only --no-align --set=ON_ERROR_STOP=1 --set=names="${POSTGRES_DBS:-}" --dbname=postgres <<'SQL'
SELECT pg_advisory_lock(hashtext('create-databases')) \g /dev/null

SELECT format('CREATE DATABASE %I TEMPLATE template0 ENCODING ''UTF8''', name),
       format('SELECT %L', 'created database ' || name)
FROM (
    SELECT DISTINCT btrim(part, E' \t\r\n')::name AS name
    FROM regexp_split_to_table(:'names', ',') AS part
) AS wanted
WHERE name <> '' AND NOT EXISTS (SELECT FROM pg_database WHERE datname = name)
ORDER BY name
\gexec
SQL
