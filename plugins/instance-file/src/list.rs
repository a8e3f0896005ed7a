//! Listing instances, whatever else the directory holds.
//!
//! Pages go by file name: a cursor is the name of the last file that was looked at, so that any text is a cursor, and
//! what comes or goes between two pages moves nothing from one to the other.

use crate::bindings::exports::homeostat::plugin::instance::{Finding, ListRequest, Page};
use crate::bindings::homeostat::plugin::types::{Error, ErrorCode};
use crate::directory::{Directory, Entry, Failure};
use crate::fault;
use crate::name::{self, STALE};
use crate::record::{NotAnInstance, Record};

/// The most instances on a page, and about the most bytes of files read for one: what a guest with 32 MiB can hold.
const MAX_PAGE: usize = 10_000;
const MAX_PAGE_BYTES: usize = 8 << 20;

/// The most findings on a page that are told one by one.
const MAX_FINDINGS: usize = 100;

/// One page of the instances in `dir`.
pub fn list(dir: &impl Directory, request: &ListRequest) -> Result<Page, Error> {
    let limit = (request.limit as usize).min(MAX_PAGE);
    if limit == 0 {
        return Err(fault::error(ErrorCode::InvalidArgument, "the limit of a page is 1 or more".to_owned()));
    }
    let mut scan = dir.scan().map_err(|failure| fault::failed("list the files", failure))?;
    if let Some(cursor) = &request.cursor {
        scan.entries.retain(|entry| entry.name > *cursor);
    }
    scan.entries.sort_unstable();

    let mut page = Draft::default();
    if request.cursor.is_none() && scan.unnamed > 0 {
        let message =
            format!("{} files have a name that is not UTF-8, and were left out; move them away", scan.unnamed);
        page.report(fault::GUEST_DIR, message);
    }
    if let Some(failure) = scan.cut_off {
        page.incomplete(fault::GUEST_DIR, format!("the directory could not be read to its end: {failure}"));
    }
    let mut entries = scan.entries.into_iter().peekable();
    let mut next = None;
    while let Some(entry) = entries.next() {
        page.look_at(dir, request, &entry);
        let full = page.instances.len() >= limit || page.bytes >= MAX_PAGE_BYTES;
        if full && entries.peek().is_some() {
            next = Some(entry.name);
            break;
        }
    }
    Ok(page.finish(next))
}

/// A page that is being filled.
#[derive(Default)]
struct Draft {
    instances: Vec<crate::bindings::homeostat::plugin::types::Instance>,
    findings: Vec<Finding>,
    untold: usize,
    bytes: usize,
    partial: bool,
}

impl Draft {
    fn look_at(&mut self, dir: &impl Directory, request: &ListRequest, entry: &Entry) {
        let file = &*entry.name;
        if name::is_helper_file(file) {
            // Gone by now, or of a call that is under way: nothing to say.
            if dir.age(file).is_ok_and(|age| age >= STALE) {
                self.report(file, "left behind by a call that was killed; it can be removed".to_owned());
            }
            return;
        }
        let Some(name) = name::of_instance_file(file) else {
            return self.report(file, "not an instance: an instance's file is called `NAME.json`".to_owned());
        };
        if !entry.is_file {
            return self.report(file, "not an instance: not a regular file".to_owned());
        }
        let content = match dir.read(file) {
            Ok(content) => content,
            Err(Failure::NotFound) => return,
            Err(failure @ (Failure::TooBig | Failure::NotAFile)) => {
                return self.report(file, format!("not an instance: {failure}"));
            }
            // It may well be an instance, so this listing cannot say that it knows them all.
            Err(failure) => return self.incomplete(file, format!("it cannot be read: {failure}")),
        };
        self.bytes += content.len();
        match Record::parse(name, &content) {
            Ok(record) if record.carries(&request.tags) => {
                self.instances.push(record.into_instance(request.with_properties));
            }
            Ok(_) => {}
            Err(NotAnInstance::Torn) => {
                let message =
                    "half written or damaged, and not counted; `provision` of this name replaces it, or remove it";
                self.report(file, message.to_owned());
            }
            Err(NotAnInstance::Foreign(why)) => self.report(file, format!("not an instance of this plugin: {why}")),
        }
    }

    fn report(&mut self, subject: &str, message: String) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(Finding { subject: subject.to_owned(), message });
        } else {
            self.untold += 1;
        }
    }

    fn incomplete(&mut self, subject: &str, message: String) {
        self.partial = true;
        self.report(subject, message);
    }

    fn finish(mut self, next: Option<String>) -> Page {
        if self.untold > 0 {
            let message = format!("{} more files on this page are not instances", self.untold);
            self.findings.push(Finding { subject: fault::GUEST_DIR.to_owned(), message });
        }
        Page { instances: self.instances, next, complete: !self.partial, findings: self.findings }
    }
}

#[cfg(test)]
mod tests;
