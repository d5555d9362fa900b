DELETE FROM oauth_storage.device_authorization WHERE digest = $1
