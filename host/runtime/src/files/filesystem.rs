//! `wasi:filesystem` with a wire in front of it. What it does is WASI's own implementation's business.

use std::sync::Arc;

use wasmtime::component::{HasData, Linker, Resource};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemCtxView};
use wasmtime_wasi::p2::bindings::filesystem::{preopens, types};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, FsError, FsResult};
use wasmtime_wasi::{WasiCtxView, WasiView};

use types::{
    Advice, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry, DirectoryEntryStream, ErrorCode, Filesize,
    Host, HostDescriptor, HostDirectoryEntryStream, MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
};

use crate::files::streams::Wired;
use crate::files::tap::{After, FileTap, HasFileTap, Injected};

/// Put the wire in front of WASI's files, in a linker that has WASI already.
///
/// # Errors
/// The linker's.
pub(crate) fn add_to_linker<T: WasiView + HasFileTap>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let linked = preopens::add_to_linker::<T, WiredFiles>(linker, files)
        .and_then(|()| types::add_to_linker::<T, WiredFiles>(linker, files));
    linker.allow_shadowing(false);
    linked
}

struct WiredFiles;

impl HasData for WiredFiles {
    type Data<'a> = Files<'a>;
}

pub(super) fn files<T: WasiView + HasFileTap>(data: &mut T) -> Files<'_> {
    let tap = data.file_tap().cloned();
    let WasiCtxView { ctx, table } = data.ctx();
    Files { files: WasiFilesystemCtxView { ctx: ctx.filesystem(), table }, tap }
}

/// One operation's view of the files of its store.
pub(super) struct Files<'a> {
    files: WasiFilesystemCtxView<'a>,
    tap: Option<Arc<FileTap>>,
}

type Fd = Resource<Descriptor>;
type Entries = Resource<DirectoryEntryStream>;

impl Files<'_> {
    fn begin(&self, name: &'static str, path: Option<String>, to: Option<String>) -> FsResult<After> {
        match &self.tap {
            Some(tap) => Ok(tap.begin(name, path, to)?),
            None => Ok(After::NOTHING),
        }
    }

    /// An operation on what a handle stands for.
    fn begin_on<R: 'static>(&self, name: &'static str, handle: &Resource<R>) -> FsResult<After> {
        self.begin(name, self.path(handle.rep()), None)
    }

    /// An operation on a name in a directory.
    fn begin_at(&self, name: &'static str, fd: &Fd, path: &str) -> FsResult<After> {
        self.begin(name, self.path_in(fd, path), None)
    }

    fn path(&self, handle: u32) -> Option<String> {
        self.tap.as_ref()?.path(handle)
    }

    fn path_in(&self, fd: &Fd, path: &str) -> Option<String> {
        self.tap.as_ref()?.path_in(fd.rep(), path)
    }

    fn name(&self, handle: u32, path: Option<String>) {
        if let Some(tap) = &self.tap {
            tap.name(handle, path);
        }
    }

    fn forget(&self, handle: u32) {
        if let Some(tap) = &self.tap {
            tap.forget(handle);
        }
    }

    /// Put a wire before a stream that was just made for `handle`.
    fn wire_output(&mut self, handle: u32, stream: Resource<DynOutputStream>) -> FsResult<Resource<DynOutputStream>> {
        let Some(tap) = self.tap.clone() else { return Ok(stream) };
        let path = tap.path(handle);
        let stream = self.files.table.delete(stream)?;
        let wired: DynOutputStream = Box::new(Wired::new(stream, tap, path));
        Ok(self.files.table.push(wired)?)
    }
}

impl preopens::Host for Files<'_> {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Fd, String)>> {
        let directories = self.files.get_directories()?;
        for (fd, path) in &directories {
            self.name(fd.rep(), Some(path.clone()));
        }
        Ok(directories)
    }
}

impl Host for Files<'_> {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<ErrorCode> {
        self.files.convert_error_code(error)
    }

    fn filesystem_error_code(&mut self, error: Resource<wasmtime::Error>) -> wasmtime::Result<Option<ErrorCode>> {
        if let Some(Injected(error)) = self.files.table.get(&error)?.downcast_ref() {
            return Ok(Some((*error).into()));
        }
        self.files.filesystem_error_code(error)
    }
}

impl HostDescriptor for Files<'_> {
    async fn advise(&mut self, fd: Fd, offset: Filesize, len: Filesize, advice: Advice) -> FsResult<()> {
        let after = self.begin_on("advise", &fd)?;
        after.end(self.files.advise(fd, offset, len, advice).await)
    }

    async fn sync_data(&mut self, fd: Fd) -> FsResult<()> {
        let after = self.begin_on("sync-data", &fd)?;
        after.end(self.files.sync_data(fd).await)
    }

    async fn get_flags(&mut self, fd: Fd) -> FsResult<DescriptorFlags> {
        let after = self.begin_on("get-flags", &fd)?;
        after.end(self.files.get_flags(fd).await)
    }

    async fn get_type(&mut self, fd: Fd) -> FsResult<DescriptorType> {
        let after = self.begin_on("get-type", &fd)?;
        after.end(self.files.get_type(fd).await)
    }

    async fn set_size(&mut self, fd: Fd, size: Filesize) -> FsResult<()> {
        let after = self.begin_on("set-size", &fd)?;
        after.end(self.files.set_size(fd, size).await)
    }

    async fn set_times(&mut self, fd: Fd, accessed: NewTimestamp, modified: NewTimestamp) -> FsResult<()> {
        let after = self.begin_on("set-times", &fd)?;
        after.end(self.files.set_times(fd, accessed, modified).await)
    }

    async fn read(&mut self, fd: Fd, len: Filesize, offset: Filesize) -> FsResult<(Vec<u8>, bool)> {
        let after = self.begin_on("read", &fd)?;
        after.end(self.files.read(fd, len, offset).await)
    }

    async fn write(&mut self, fd: Fd, bytes: Vec<u8>, offset: Filesize) -> FsResult<Filesize> {
        let after = self.begin_on("write", &fd)?;
        after.end(self.files.write(fd, bytes, offset).await)
    }

    async fn read_directory(&mut self, fd: Fd) -> FsResult<Entries> {
        let after = self.begin_on("read-directory", &fd)?;
        let path = self.path(fd.rep());
        let entries = self.files.read_directory(fd).await;
        if let Ok(entries) = &entries {
            if after.hides_success() {
                // The guest will not get the handle that it would have to drop.
                self.files.table.delete(Entries::new_own(entries.rep()))?;
            } else {
                self.name(entries.rep(), path);
            }
        }
        after.end(entries)
    }

    async fn sync(&mut self, fd: Fd) -> FsResult<()> {
        let after = self.begin_on("sync", &fd)?;
        after.end(self.files.sync(fd).await)
    }

    async fn create_directory_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        let after = self.begin_at("create-directory-at", &fd, &path)?;
        after.end(self.files.create_directory_at(fd, path).await)
    }

    async fn stat(&mut self, fd: Fd) -> FsResult<DescriptorStat> {
        let after = self.begin_on("stat", &fd)?;
        after.end(self.files.stat(fd).await)
    }

    async fn stat_at(&mut self, fd: Fd, how: PathFlags, path: String) -> FsResult<DescriptorStat> {
        let after = self.begin_at("stat-at", &fd, &path)?;
        after.end(self.files.stat_at(fd, how, path).await)
    }

    async fn set_times_at(
        &mut self,
        fd: Fd,
        how: PathFlags,
        path: String,
        accessed: NewTimestamp,
        modified: NewTimestamp,
    ) -> FsResult<()> {
        let after = self.begin_at("set-times-at", &fd, &path)?;
        after.end(self.files.set_times_at(fd, how, path, accessed, modified).await)
    }

    async fn link_at(&mut self, fd: Fd, how: PathFlags, path: String, to_fd: Fd, to: String) -> FsResult<()> {
        let after = self.begin("link-at", self.path_in(&fd, &path), self.path_in(&to_fd, &to))?;
        after.end(self.files.link_at(fd, how, path, to_fd, to).await)
    }

    async fn open_at(
        &mut self,
        fd: Fd,
        how: PathFlags,
        path: String,
        open: OpenFlags,
        flags: DescriptorFlags,
    ) -> FsResult<Fd> {
        let after = self.begin_at("open-at", &fd, &path)?;
        let name = self.path_in(&fd, &path);
        let opened = self.files.open_at(fd, how, path, open, flags).await;
        if let Ok(opened) = &opened {
            if after.hides_success() {
                self.files.table.delete(Fd::new_own(opened.rep()))?;
            } else {
                self.name(opened.rep(), name);
            }
        }
        after.end(opened)
    }

    fn drop(&mut self, fd: Fd) -> wasmtime::Result<()> {
        self.forget(fd.rep());
        HostDescriptor::drop(&mut self.files, fd)
    }

    async fn readlink_at(&mut self, fd: Fd, path: String) -> FsResult<String> {
        let after = self.begin_at("readlink-at", &fd, &path)?;
        after.end(self.files.readlink_at(fd, path).await)
    }

    async fn remove_directory_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        let after = self.begin_at("remove-directory-at", &fd, &path)?;
        after.end(self.files.remove_directory_at(fd, path).await)
    }

    async fn rename_at(&mut self, fd: Fd, path: String, to_fd: Fd, to: String) -> FsResult<()> {
        let after = self.begin("rename-at", self.path_in(&fd, &path), self.path_in(&to_fd, &to))?;
        after.end(self.files.rename_at(fd, path, to_fd, to).await)
    }

    async fn symlink_at(&mut self, fd: Fd, path: String, to: String) -> FsResult<()> {
        // The first is what the link says, from wherever it will be.
        let after = self.begin("symlink-at", Some(path.clone()), self.path_in(&fd, &to))?;
        after.end(self.files.symlink_at(fd, path, to).await)
    }

    async fn unlink_file_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        let after = self.begin_at("unlink-file-at", &fd, &path)?;
        after.end(self.files.unlink_file_at(fd, path).await)
    }

    fn read_via_stream(&mut self, fd: Fd, offset: Filesize) -> FsResult<Resource<DynInputStream>> {
        let handle = fd.rep();
        let stream = self.files.read_via_stream(fd, offset)?;
        let Some(tap) = self.tap.clone() else { return Ok(stream) };
        let path = tap.path(handle);
        let stream = self.files.table.delete(stream)?;
        let wired: DynInputStream = Box::new(Wired::new(stream, tap, path));
        Ok(self.files.table.push(wired)?)
    }

    fn write_via_stream(&mut self, fd: Fd, offset: Filesize) -> FsResult<Resource<DynOutputStream>> {
        let handle = fd.rep();
        let stream = self.files.write_via_stream(fd, offset)?;
        self.wire_output(handle, stream)
    }

    fn append_via_stream(&mut self, fd: Fd) -> FsResult<Resource<DynOutputStream>> {
        let handle = fd.rep();
        let stream = self.files.append_via_stream(fd)?;
        self.wire_output(handle, stream)
    }

    async fn is_same_object(&mut self, fd: Fd, other: Fd) -> wasmtime::Result<bool> {
        self.files.is_same_object(fd, other).await
    }

    async fn metadata_hash(&mut self, fd: Fd) -> FsResult<MetadataHashValue> {
        let after = self.begin_on("metadata-hash", &fd)?;
        after.end(self.files.metadata_hash(fd).await)
    }

    async fn metadata_hash_at(&mut self, fd: Fd, how: PathFlags, path: String) -> FsResult<MetadataHashValue> {
        let after = self.begin_at("metadata-hash-at", &fd, &path)?;
        after.end(self.files.metadata_hash_at(fd, how, path).await)
    }
}

impl HostDirectoryEntryStream for Files<'_> {
    async fn read_directory_entry(&mut self, entries: Entries) -> FsResult<Option<DirectoryEntry>> {
        let after = self.begin_on("read-directory-entry", &entries)?;
        loop {
            match self.files.read_directory_entry(Entries::new_borrow(entries.rep())).await {
                // It was removed while the directory was read: wasmtime-wasi looks at each entry after it has its name.
                Err(error) if error.downcast_ref() == Some(&ErrorCode::NoEntry) => {}
                entry => return after.end(entry),
            }
        }
    }

    fn drop(&mut self, entries: Entries) -> wasmtime::Result<()> {
        self.forget(entries.rep());
        HostDirectoryEntryStream::drop(&mut self.files, entries)
    }
}
