//! Chromium without a window, for pages that the tests saved.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Form, Path as Segment, State};
use axum::http::header;
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::get;
use serde::Deserialize;

use super::listen;

/// The number for `prefers-color-scheme` in Chromium's settings.
const DARK: u8 = 0;
const LIGHT: u8 = 1;

pub(crate) type Pages = Vec<(&'static str, String)>;

/// Saved pages behind a server of their own, without the policies and cookies of the real one.
pub(crate) struct Gallery {
    url: String,
    program: PathBuf,
    names: Vec<&'static str>,
}

impl Gallery {
    /// Returns `None` if there is no Chromium.
    pub(crate) async fn of(pages: Pages) -> Option<Self> {
        let paths = std::env::var_os("PATH")?;
        let program = std::env::split_paths(&paths).map(|path| path.join("chromium"));
        let program = program.into_iter().find(|program| program.is_file())?;
        let names = pages.iter().map(|(name, _)| *name).collect();
        let pages: HashMap<_, _> =
            pages.into_iter().map(|(name, body)| (name.to_owned(), body)).collect();
        let router = Router::new()
            .route("/page/{name}", get(page))
            .route("/page/style.css", get(style))
            .route("/page/logo.svg", get(logo))
            .route("/frame/{name}", get(frame))
            .route("/widths", get(widths))
            .route("/origin", get(origin_form).post(origin))
            .with_state(Arc::new(pages));
        let (listener, url) = listen().await;
        tokio::spawn(async move { axum::serve(listener, router).await });
        Some(Self { url, program, names })
    }

    /// Writes a picture of the page at this size.
    pub(crate) async fn screenshot(&self, name: &str, folder: &Path, size: Size, dark: bool) {
        let Size { width, height } = size;
        let scheme = if dark { "dark" } else { "light" };
        let file = folder.join(format!("{name}-{width}-{scheme}.png"));
        let size = format!("--window-size={width},{height}");
        let shot = format!("--screenshot={}", file.display());
        let url = format!("{}/frame/{name}?width={width}&height={height}", self.url);
        self.run(&[&size, &shot], dark, &url).await;
        assert!(file.is_file(), "{}", file.display());
    }

    /// Returns the width of each page in a frame of 320 px, where it prefers this colour scheme.
    pub(crate) async fn widths_at_320(&self, dark: bool) -> HashMap<String, u32> {
        let url = format!("{}/widths?names={}", self.url, self.names.join(","));
        let dom = self.run(&["--dump-dom"], dark, &url).await;
        let found = |text: &str, end| text.split(end).next().unwrap_or_default().to_owned();
        let is_dark = found(dom.split("data-dark=\"").nth(1).unwrap(), '"');
        assert_eq!(is_dark, dark.to_string(), "the setting of the colour scheme works");
        let items = dom.split("<li>").skip(1).map(|item| found(item, '<'));
        items
            .map(|item| (found(&item, ' '), item.split(' ').nth(1).unwrap().parse().unwrap()))
            .collect()
    }

    /// Returns the headers `Sec-Fetch-Site` and `Origin` of a form of a page with this policy.
    pub(crate) async fn headers_of_a_form(&self, referrer_policy: &str) -> String {
        let url = format!("{}/origin?policy={referrer_policy}", self.url);
        let dom = self.run(&["--dump-dom"], false, &url).await;
        let headers = dom.split("<p>").nth(1).unwrap_or_else(|| panic!("{dom}"));
        headers.split("</p>").next().unwrap().replace(&self.url, "own")
    }

    async fn run(&self, arguments: &[&str], dark: bool, url: &str) -> String {
        let profile = tempfile::tempdir().unwrap();
        let mut command = Command::new(&self.program);
        let scheme = if dark { DARK } else { LIGHT };
        command
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"])
            .args(["--disable-background-networking", "--no-first-run", "--no-proxy-server"])
            .arg(format!("--blink-settings=preferredColorScheme={scheme}"))
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("--virtual-time-budget=5000")
            .args(arguments)
            .arg(url)
            .stderr(Stdio::null());
        let output = tokio::task::spawn_blocking(move || {
            let output = command.output();
            drop(profile);
            output
        });
        let output = output.await.unwrap().unwrap();
        assert!(output.status.success(), "{url}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) width: u32,
    pub(crate) height: u32,
}

async fn page(
    State(pages): State<Arc<HashMap<String, String>>>,
    Segment(name): Segment<String>,
) -> Html<String> {
    Html(pages[&name].clone())
}

async fn style() -> Response {
    let css = include_str!("../../../src/style.css");
    ([(header::CONTENT_TYPE, "text/css")], css).into_response()
}

/// The logo of the application, which the pages load from its own site.
async fn logo() -> Response {
    let svg = r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 56 56">
        <path fill="#0f766e" d="M0 0h56v56H0z"/><path fill="none" stroke="#fff" stroke-width="3.5"
        stroke-linejoin="round" d="M15 22h26l-2.5 18h-21zM21 22v-3a7 7 0 0 1 14 0v3"/></svg>"##;
    ([(header::CONTENT_TYPE, "image/svg+xml")], svg).into_response()
}

#[derive(Deserialize)]
struct FrameQuery {
    width: u32,
    height: u32,
}

/// A page in a frame, because the smallest window is wider than the smallest screen.
async fn frame(Segment(name): Segment<String>, Form(size): Form<FrameQuery>) -> Html<String> {
    let FrameQuery { width, height } = size;
    Html(format!(
        "<!doctype html><body style='margin:0'><iframe style='display:block;border:0' \
         width={width} height={height} src='/page/{name}'></iframe>"
    ))
}

#[derive(Deserialize)]
struct WidthsQuery {
    names: String,
}

async fn widths(Form(WidthsQuery { names }): Form<WidthsQuery>) -> Html<String> {
    let frames = names.split(',').map(|name| {
        format!("<iframe width=320 height=800 src='/page/{name}' id='{name}'></iframe>")
    });
    let frames: String = frames.collect();
    Html(format!(
        "<!doctype html><body>{frames}<ul></ul><script>
        document.body.dataset.dark = matchMedia('(prefers-color-scheme: dark)').matches;
        window.onload = () => {{ for (const frame of document.querySelectorAll('iframe')) {{
            const item = document.createElement('li');
            item.textContent = frame.id + ' ' + frame.contentDocument.documentElement.scrollWidth;
            document.querySelector('ul').append(item);
        }} }};</script>"
    ))
}

#[derive(Deserialize)]
struct PolicyQuery {
    policy: String,
}

async fn origin_form(Form(PolicyQuery { policy }): Form<PolicyQuery>) -> Response {
    let form =
        "<!doctype html><form method=post></form><script>document.forms[0].submit()</script>";
    ([(header::REFERRER_POLICY, policy)], Html(form)).into_response()
}

async fn origin(headers: axum::http::HeaderMap) -> Html<String> {
    let value = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("-");
    Html(format!("<p>{} {}</p>", value("sec-fetch-site"), value("origin")))
}
