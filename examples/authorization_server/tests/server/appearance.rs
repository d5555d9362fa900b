//! The look of the pages, in Chromium where it is installed.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::pages::check_classes;
use crate::support::{Browser, Gallery, Options, Page, SIGN_IN, Site, Size};

const LOGO: &str = "https://shop.example/logo.png";

fn request(site: &Site, client: &Value, extra: &[(&str, &str)]) -> String {
    let mut parameters = vec![
        ("client_id", client["client_id"].as_str().unwrap()),
        ("redirect_uri", client["redirect_uris"][0].as_str().unwrap()),
        ("response_type", "code"),
        ("scope", "openid profile email api:read"),
    ];
    parameters.extend(extra);
    site.authorize(&parameters)
}

/// Each page of the server, as a signed-in person sees it.
async fn pages(site: &Site) -> Vec<(&'static str, Page)> {
    let shop = json!({
        "client_name": "Tea & Hats",
        "redirect_uris": ["https://shop.example/callback"],
        "logo_uri": LOGO,
        "client_uri": "https://shop.example/",
        "policy_uri": "https://shop.example/privacy",
        "tos_uri": "https://shop.example/terms",
    });
    let shop = site.register(shop).await;
    let notes = site.register(json!({ "client_name": "Looking-glass notes" })).await;
    let browser = Browser::new();
    let mut pages = Vec::new();
    let sign_in = browser.open(&request(site, &shop, &[])).await.page();
    let wrong = [("username", "alice"), ("password", "looking-glass")];
    pages.push(("sign-in-refused", browser.submit(&sign_in, &wrong).await.page()));
    pages.push(("sign-in-alone", browser.open(&site.url("sign-in")).await.page()));
    let consent = browser.submit(&sign_in, &SIGN_IN).await.page();
    pages.push(("sign-in", sign_in));
    pages.push(("account-empty", browser.open(&site.url("account")).await.page()));
    let post = request(site, &shop, &[("response_mode", "form_post")]);
    let posted = browser.open(&post).await.page();
    pages.push(("form-post", browser.submit(&posted, &[("decision", "allow")]).await.page()));
    pages.push(("consent", consent));
    let plain = browser.open(&request(site, &notes, &[])).await.page();
    browser.submit(&plain, &[("decision", "allow")]).await.left();
    pages.push(("consent-without-logo", plain));
    let account = browser.open(&site.url("account")).await.page();
    let disconnect = browser.open(account.link("disconnect?").as_str()).await.page();
    pages.push(("account", account));
    pages.push(("disconnect", disconnect));
    let wrong = request(site, &shop, &[]).replace("callback", "elsewhere");
    pages.push(("error", browser.open(&wrong).await.page()));
    pages.push(("not-found", browser.open(&site.url("no/such/page")).await.page()));
    pages
}

#[tokio::test(flavor = "multi_thread")]
async fn each_page_in_chromium() {
    let site = Site::start_with(Options::default()).await;
    let (mut saved, mut extreme) = (Vec::new(), Vec::new());
    for (name, page) in pages(&site).await {
        let body = &page.body;
        check_classes(body);
        assert!(body.starts_with("<!DOCTYPE html><html lang=\"en\">"), "{name}");
        assert_eq!(body.matches("<h1>").count(), 1, "{name}");
        assert_eq!(body.matches("<main").count(), 1, "{name}");
        assert!(body.contains("class=\"button ") || body.contains("<button "), "{name}");
        // The saved page has no address of its own, and submits nothing.
        let body = body.replace(LOGO, "logo.svg").replace(&format!("{}/", site.issuer), "");
        if name == "consent" || name == "account" {
            let long = "W".repeat(200);
            let body = body.replace("Tea &amp; Hats", &long).replace("alice", &long);
            extreme.push((if name == "account" { "long-account" } else { "long-consent" }, body));
        }
        saved.push((name, body.replace("src=\"submit.js\"", "")));
    }
    let names: Vec<_> = saved.iter().map(|(name, _)| *name).collect();
    let shown = names.len() + extreme.len();
    saved.extend(extreme);
    let Some(gallery) = Gallery::of(saved).await else {
        println!("NOT RUN in a browser: there is no chromium on PATH");
        return;
    };
    for dark in [false, true] {
        let widths = gallery.widths_at_320(dark).await;
        assert_eq!(widths.len(), shown);
        for (name, width) in widths {
            assert!(width <= 320, "{name} is {width} px wide on a screen of 320 px");
        }
    }
    let temporary = tempfile::tempdir().unwrap();
    let folder = std::env::var_os("OAUTH_STORAGE_SCREENSHOTS").map(PathBuf::from);
    let is_asked_for = folder.is_some();
    let folder = folder.unwrap_or_else(|| temporary.path().to_owned());
    std::fs::create_dir_all(&folder).unwrap();
    // Each picture takes about two seconds.
    for name in names.into_iter().filter(|name| is_asked_for || *name == "consent") {
        for (width, height) in [(1024, 720), (320, 820)] {
            let size = Size { width, height };
            tokio::join!(
                gallery.screenshot(name, &folder, size, false),
                gallery.screenshot(name, &folder, size, true),
            );
        }
    }
}

/// The policy of the pages makes browsers say where a form comes from; without a referrer they do not.
#[tokio::test(flavor = "multi_thread")]
async fn browsers_send_the_origin_of_our_forms() {
    let Some(gallery) = Gallery::of(Vec::new()).await else {
        println!("NOT RUN in a browser: there is no chromium on PATH");
        return;
    };
    assert_eq!(gallery.headers_of_a_form("same-origin").await, "same-origin own");
    assert_eq!(gallery.headers_of_a_form("no-referrer").await, "same-origin null");
}

/// The colours of the style sheet have the contrast of WCAG 2.2 AA, in both schemes.
#[test]
fn colours_have_contrast() {
    let style = include_str!("../../src/style.css");
    for scheme in [0, 1] {
        let luminance = |name: &str| {
            let value = style.split(&format!("--{name}: light-dark(")).nth(1).unwrap();
            let value = value.split(')').next().unwrap().split(", ").nth(scheme).unwrap();
            relative_luminance(value.trim_start_matches('#'))
        };
        for (front, back, required) in [
            ("text", "page", 4.5),
            ("text", "card", 4.5),
            ("text", "field", 4.5),
            ("text", "tint", 4.5),
            ("text", "danger-tint", 4.5),
            ("quiet", "page", 4.5),
            ("quiet", "card", 4.5),
            ("accent", "page", 4.5),
            ("accent", "card", 4.5),
            ("accent", "tint", 4.5),
            ("on-accent", "accent", 4.5),
            ("on-danger", "danger", 4.5),
            ("edge", "card", 3.0),
            ("edge", "page", 3.0),
            ("edge", "field", 3.0),
        ] {
            let (one, two) = (luminance(front), luminance(back));
            let contrast = (one.max(two) + 0.05) / (one.min(two) + 0.05);
            assert!(contrast >= required, "{front} on {back}: {contrast:.2} in scheme {scheme}");
        }
    }
}

/// WCAG 2.2, "relative luminance".
fn relative_luminance(hex: &str) -> f64 {
    let hex: Vec<_> = match hex.len() {
        3 => hex.chars().flat_map(|digit| [digit, digit]).collect(),
        _ => hex.chars().collect(),
    };
    let channel = |n: usize| {
        let value: String = hex[2 * n..2 * n + 2].iter().collect();
        let value = f64::from(u8::from_str_radix(&value, 16).unwrap()) / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * channel(0) + 0.7152 * channel(1) + 0.0722 * channel(2)
}
