-- Ends the deletion of a client, whose grants are gone by now.
DELETE FROM oauth_storage.client WHERE client_id = $1 AND deleted_at = $2
