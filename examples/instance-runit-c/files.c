#include "files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fault.h"

enum { MAX_FILE = 8 << 20 };

static int done(int result) { return result == 0 ? 0 : errno; }

bool exists(const char *path) {
    struct stat it;
    return lstat(path, &it) == 0;
}

bool is_folder(const char *path) {
    struct stat it;
    return lstat(path, &it) == 0 && S_ISDIR(it.st_mode);
}

int make_folder(const char *path) { return done(mkdir(path, 0777)); }

int move(const char *from, const char *to) { return done(rename(from, to)); }

int link_to(const char *from, const char *to) { return done(link(from, to)); }

int write_file(const char *path, text content) {
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL, 0666);
    if (file < 0) return errno;
    int why = 0;
    while (why == 0 && content.len > 0) {
        ssize_t written = write(file, content.ptr, content.len);
        if (written < 0) {
            if (errno != EINTR) why = errno;
            continue;
        }
        content.ptr += written;
        content.len -= (size_t)written;
    }
    if (why == 0) why = done(fsync(file));
    int closed = done(close(file));
    return why != 0 ? why : closed;
}

int read_file(const char *path, text *content) {
    struct stat it;
    buffer out = {0};
    char chunk[8192];
    // What is no file (a pipe) is not opened: nobody may ever write to it.
    if (lstat(path, &it) != 0) return errno;
    if (!S_ISREG(it.st_mode)) return EINVAL;
    int file = open(path, O_RDONLY | O_NOFOLLOW);
    if (file < 0) return errno;
    int why = 0;
    while (why == 0) {
        ssize_t count = read(file, chunk, sizeof chunk);
        if (count == 0) break;
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) why = errno;
        else if (out.len + (size_t)count > MAX_FILE) why = EFBIG;
        else put(&out, (text){chunk, (size_t)count});
    }
    close(file);
    *content = put_end(&out);
    return why;
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

int read_folder(const char *path, char ***names, size_t *count) {
    size_t size = 0;
    *names = NULL;
    *count = 0;
    DIR *folder = opendir(path);
    if (folder == NULL) return errno;
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(folder);
        if (entry == NULL) break;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        if (*count == size) {
            size = size == 0 ? 64 : size * 2;
            *names = reallocate(*names, size, sizeof **names);
        }
        (*names)[(*count)++] = format("%s", entry->d_name);
    }
    int why = errno;
    closedir(folder);
    if (*count > 0) qsort(*names, *count, sizeof **names, by_name);
    return why;
}

void remove_tree(const char *path) {
    char **names;
    size_t count;
    // A link to a folder is no folder: what it leads to stays.
    if (!is_folder(path)) {
        unlink(path);
        return;
    }
    if (read_folder(path, &names, &count) != 0) return;
    for (size_t i = 0; i < count; i++) remove_tree(format("%s/%s", path, names[i]));
    rmdir(path);
}

unsigned long long unique(void) {
    unsigned long long number = 0;
    if (getentropy(&number, sizeof number) != 0) perror("getentropy");
    return number;
}
