//! The pages and the modules for browsers, embedded.

use std::{collections::HashMap, hash::Hasher, sync::LazyLock};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, ETag, EntityTag, Header, IfNoneMatch},
};
use fnv::FnvHasher;

use super::{error::Error, params::FILE};

/// Pages need themselves and this hub, nothing else. The hash is that of the import map in
/// `demo/react.html`: a browser takes none from a file of its own.
const POLICY: &str = "default-src 'none'; \
                      script-src 'self' 'sha256-GWjQnJYHgf86GaljYoKB/L6hABC36WmNbIdR0LdUI6s='; \
                      style-src 'self'; img-src data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

macro_rules! files {
    ($($path:literal)*) => {
        [$(($path, include_bytes!(concat!("../../static/", $path)))),*]
    };
}

static FILES: LazyLock<HashMap<&str, File>> = LazyLock::new(|| {
    let files: [(_, &[u8]); _] = files! {
        "index.html"
        "bell.js"
        "bell/notification.js"
        "bell/read-marks.js"
        "bell/style.js"
        "bell/view.js"
        "dashboard/channels.js"
        "dashboard/charts.js"
        "dashboard/dashboard.css"
        "dashboard/dom.js"
        "dashboard/hub.js"
        "dashboard/json.js"
        "dashboard/kept.js"
        "dashboard/log.js"
        "dashboard/main.js"
        "dashboard/publishing.js"
        "dashboard/subscription.js"
        "event-stream.js"
        "herald.js"
        "react.js"
        "share.js"
        "stream.js"
    };
    // An app that mounts a hub has no need of it.
    #[cfg(feature = "cli")]
    let demo: [(_, &[u8]); _] = files! {
        "demo/react.css"
        "demo/react.html"
        "demo/react.js"
        "vendor/react.js"
    };
    #[cfg(not(feature = "cli"))]
    let demo = [];
    let files = files.into_iter().chain(demo);
    files.map(|(path, content)| (path, File::new(path, content))).collect()
});

struct File {
    content: &'static [u8],
    content_type: &'static str,
    tag: EntityTag,
}

impl File {
    fn new(path: &str, content: &'static [u8]) -> Self {
        let content_type = match path.rsplit_once('.') {
            Some((_, "html")) => "text/html; charset=utf-8",
            Some((_, "css")) => "text/css; charset=utf-8",
            _ => "text/javascript; charset=utf-8",
        };
        let mut hasher = FnvHasher::default();
        hasher.write(content);
        let tag = EntityTag::new_strong(format!("{:016x}", hasher.finish()));
        Self { content, content_type, tag }
    }
}

/// `GET /`
pub(super) async fn dashboard(req: HttpRequest) -> Result<HttpResponse, Error> {
    answer(&req, "index.html")
}

/// `GET /demo/react`
#[cfg(feature = "cli")]
pub(super) async fn react_demo(req: HttpRequest) -> Result<HttpResponse, Error> {
    answer(&req, "demo/react.html")
}

/// `GET /static/{file}`
pub(super) async fn file(req: HttpRequest) -> Result<HttpResponse, Error> {
    answer(&req, req.match_info().query(FILE))
}

fn answer(req: &HttpRequest, path: &str) -> Result<HttpResponse, Error> {
    let file = FILES.get(path).ok_or(Error::NotFound)?;
    let is_known = match IfNoneMatch::parse(req) {
        Ok(IfNoneMatch::Any) => true,
        Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|tag| tag.weak_eq(&file.tag)),
        Err(_) => false,
    };
    let mut response = if is_known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response
        .insert_header(ETag(file.tag.clone()))
        // A new version of the hub is to be seen at once.
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        // A token may stand in a page's own address.
        .insert_header((header::REFERRER_POLICY, "no-referrer"));
    if is_known {
        return Ok(response.finish());
    }
    Ok(response.content_type(file.content_type).body(file.content))
}
