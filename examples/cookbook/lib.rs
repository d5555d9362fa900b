//! Ten short programs on `oauth-storage`, in `examples/`.
