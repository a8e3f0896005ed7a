//! Listing, in pages by file name.

use std::fs;
use std::io::ErrorKind;
use std::time::{Duration, SystemTime};

use crate::bindings::exports::homeostat::plugin::instance::{Error, Finding, ListRequest, Page};
use crate::broken;
use crate::record::Record;
use crate::store::{failed, ids, path};

/// Instances on a page, where the request allows as many: few, so that pages are needed.
const PAGE: usize = 5;

/// What the guest that forgets takes for old.
const OLD: Duration = Duration::from_secs(365 * 86_400);

pub(crate) fn list(request: &ListRequest) -> Result<Page, Error> {
    let mut ids = ids().map_err(|it| failed(&it))?;
    if let Some(cursor) = &request.cursor {
        ids.retain(|id| if broken("page-duplicates") { id >= cursor } else { id > cursor });
    }
    let limit = if broken("ignores-limit") { PAGE } else { PAGE.min(request.limit as usize) };
    let mut page = Page { instances: vec![], next: None, complete: true, findings: vec![] };
    let mut ids = ids.into_iter().peekable();
    while let Some(id) = ids.next() {
        look_at(&mut page, request, &id);
        if page.instances.len() >= limit && ids.peek().is_some() {
            page.next = Some(if broken("cursor-loop") { "more".into() } else { id });
            if broken("skips-page-ends") {
                page.instances.pop();
            }
            break;
        }
    }
    Ok(page)
}

fn look_at(page: &mut Page, request: &ListRequest, id: &str) {
    let report = |page: &mut Page, message: String| page.findings.push(Finding { subject: id.into(), message });
    let text = match fs::read_to_string(path(id)) {
        Ok(text) => text,
        Err(it) if it.kind() == ErrorKind::NotFound => return,
        Err(it) => {
            page.complete &= broken("partial-complete");
            return report(page, it.to_string());
        }
    };
    let Some(record) = Record::parse(&text) else {
        return report(page, "not an instance of this plugin".into());
    };
    if broken("forgets-old") {
        let written = fs::metadata(path(id)).and_then(|it| it.modified());
        let age = written.ok().and_then(|it| SystemTime::now().duration_since(it).ok()).unwrap_or_default();
        if age > OLD {
            return;
        }
    }
    let tags = record.tags();
    let carries = |wanted: &(String, String)| tags.contains(wanted);
    let wanted = if broken("or-filter") && !request.tags.is_empty() {
        request.tags.iter().any(carries)
    } else {
        request.tags.iter().all(carries)
    };
    if wanted {
        page.instances.push(record.instance(id, request.with_properties));
    }
}
