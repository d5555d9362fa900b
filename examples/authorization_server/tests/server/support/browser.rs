//! A browser that submits the forms of the server.

use axum::http::StatusCode;
use reqwest::header::{HeaderMap, LOCATION};
use url::Url;

use super::{Site, client};

/// The fields of a sign-in.
pub(crate) const SIGN_IN: [(&str, &str); 2] = [("username", "alice"), ("password", "wonderland")];

/// A browser with its own cookies.
pub(crate) struct Browser {
    http: reqwest::Client,
}

/// A page of the server.
pub(crate) struct Page {
    pub(crate) url: Url,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

/// The end of a chain of redirects.
pub(crate) enum Visit {
    Page(Page),
    /// A redirect to a client.
    Left(Url),
}

impl Visit {
    pub(crate) fn page(self) -> Page {
        match self {
            Self::Page(page) => page,
            Self::Left(url) => panic!("a page was expected, not a redirect to {url}"),
        }
    }

    pub(crate) fn left(self) -> Url {
        match self {
            Self::Left(url) => url,
            Self::Page(page) => panic!("a redirect was expected, not {}", page.body),
        }
    }
}

impl Browser {
    pub(crate) fn new() -> Self {
        Self { http: client(true) }
    }

    pub(crate) async fn open(&self, url: &str) -> Visit {
        self.follow(self.http.get(url)).await
    }

    /// Submits the first form of the page.
    pub(crate) async fn submit(&self, page: &Page, fields: &[(&str, &str)]) -> Visit {
        self.submit_with(page, fields, &[]).await
    }

    pub(crate) async fn follow(&self, request: reqwest::RequestBuilder) -> Visit {
        let mut response = request.send().await.unwrap();
        loop {
            let (url, status) = (response.url().clone(), response.status());
            let headers = response.headers().clone();
            let Some(location) = headers.get(LOCATION) else {
                let body = response.text().await.unwrap();
                return Visit::Page(Page { url, status, headers, body });
            };
            assert_eq!(status, StatusCode::SEE_OTHER, "RFC 9700 4.12");
            let next = url.join(location.to_str().unwrap()).unwrap();
            if next.origin() != url.origin() {
                return Visit::Left(next);
            }
            response = self.http.get(next).send().await.unwrap();
        }
    }

    /// Opens an authorization request, signs in as alice where needed and agrees.
    pub(crate) async fn allow(&self, url: &str) -> Url {
        let mut visit = self.open(url).await;
        loop {
            let page = match visit {
                Visit::Left(url) => return url,
                Visit::Page(page) => page,
            };
            assert_eq!(page.status, StatusCode::OK, "{}", page.body);
            visit = match page.asks().as_str() {
                "/sign-in" => self.submit(&page, &SIGN_IN).await,
                "/consent" => self.submit(&page, &[("decision", "allow")]).await,
                other => panic!("{other}: {}", page.body),
            };
        }
    }

    /// A form post with the cookies of this browser.
    pub(crate) fn post(&self, url: Url, form: &[(String, String)]) -> reqwest::RequestBuilder {
        self.http.post(url).form(form)
    }

    /// Submits the first form of the page with these headers.
    pub(crate) async fn submit_with(
        &self,
        page: &Page,
        fields: &[(&str, &str)],
        headers: &[(&str, &str)],
    ) -> Visit {
        let (action, mut form) = page.form();
        form.extend(fields.iter().map(|(name, value)| ((*name).into(), (*value).into())));
        let request = self.http.post(action).form(&form);
        let headers = headers.iter();
        self.follow(headers.fold(request, |own, (name, value)| own.header(*name, *value))).await
    }

    /// Signs in without an authorization request.
    pub(crate) async fn sign_in(&self, site: &Site, username: &str) -> Page {
        let page = self.open(&site.url("sign-in")).await.page();
        self.submit(&page, &[("username", username), ("password", "wonderland")]).await.page()
    }
}

impl Page {
    /// The page by the path of its first form: `/sign-in`, `/consent`.
    pub(crate) fn asks(&self) -> String {
        self.form().0.path().to_owned()
    }

    /// The first link to this path.
    pub(crate) fn link(&self, path: &str) -> Url {
        let link = self.body.split(&format!("href=\"{path}")).nth(1);
        let link = link.unwrap_or_else(|| panic!("no link to {path} in {}", self.body));
        let link = format!("{path}{}", link.split('"').next().unwrap());
        self.url.join(&link.replace("&amp;", "&")).unwrap()
    }

    /// The action of the first form, and its hidden fields.
    pub(crate) fn form(&self) -> (Url, Vec<(String, String)>) {
        let form = self.body.split("<form ").nth(1).unwrap();
        let form = form.split("</form>").next().unwrap();
        let action = self.url.join(&attribute(form, "action")).unwrap();
        let hidden = form.split("<input type=\"hidden\" ").skip(1);
        (
            action,
            hidden.map(|input| (attribute(input, "name"), attribute(input, "value"))).collect(),
        )
    }
}

fn attribute(tag: &str, name: &str) -> String {
    let value = tag.split(&format!("{name}=\"")).nth(1).unwrap();
    let value = value.split('"').next().unwrap();
    value.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

/// The parameters of an authorization response.
pub(crate) fn parameters(url: &Url) -> std::collections::HashMap<String, String> {
    let encoded = url.fragment().or(url.query()).unwrap_or_default();
    url::form_urlencoded::parse(encoded.as_bytes()).into_owned().collect()
}
