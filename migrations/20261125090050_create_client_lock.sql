-- One row per client. Statements that issue to the client lock it FOR SHARE; disabling updates it.
--
-- It is not the row of the client, because a stream of share locks would keep an update of that row
-- waiting: with 16 connections that issue to one client, disabling it took up to a second. Disabling
-- sets client.disabled_at first, which no lock delays and which keeps new statements away, and updates
-- this row second, which waits only for the statements that had begun.
CREATE TABLE oauth_storage.client_lock (
    client_id text COLLATE "C" NOT NULL,
    disabled  boolean NOT NULL DEFAULT false,

    CONSTRAINT client_lock_pkey PRIMARY KEY (client_id)
) WITH (fillfactor = 50);

COMMENT ON TABLE oauth_storage.client_lock IS
    'Lock rows of the clients: a statement that issues to a client locks its row in share mode.';
COMMENT ON COLUMN oauth_storage.client_lock.client_id IS
    'The client identifier.';
COMMENT ON COLUMN oauth_storage.client_lock.disabled IS
    'True if the client is disabled. It follows client.disabled_at.';
