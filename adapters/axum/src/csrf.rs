use axum::http::{HeaderMap, header};

/// Returns false if the browser says that another site sent the form. This alone protects a sign-in form, which has no
/// session and so no CSRF token: another site must not sign people in as somebody else.
///
/// ```
/// use axum::http::{HeaderMap, HeaderValue, header};
/// use oauth_storage_axum::is_same_origin;
///
/// let mut headers = HeaderMap::new();
/// headers.insert(header::ORIGIN, HeaderValue::from_static("https://other.example"));
/// assert!(!is_same_origin(&headers, "https://issuer.example"));
/// ```
#[must_use]
pub fn is_same_origin(headers: &HeaderMap, origin: &str) -> bool {
    let site = headers.get("sec-fetch-site");
    let is_own_site = site.is_none_or(|site| site == "same-origin" || site == "none");
    is_own_site && headers.get(header::ORIGIN).is_none_or(|own| own == origin)
}
