-- Deletes one grant, waiting for its lock.
DELETE FROM oauth_storage.authorization_grant WHERE grant_id = $1
