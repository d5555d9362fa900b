-- Deletes one grant, waiting for whoever holds it.
DELETE FROM oauth_storage.authorization_grant WHERE grant_id = $1
