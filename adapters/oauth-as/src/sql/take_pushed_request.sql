DELETE FROM oauth_as.pushed_request WHERE digest = $1 AND digest_tail = $2 RETURNING document
