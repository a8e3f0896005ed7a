#include "store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "files.h"
#include "service.h"

const char *store_root = "/services";

// The most instances on a page, whatever the host asks for.
enum { MAX_PAGE = 10000 };

// The grant that this plugin needs, as the operator writes it.
#define GRANT "grant it with \"Grants\": {\"Dirs\": [{\"Host\": \"DIRECTORY\", \"Guest\": \"/services\", \"Mode\": \"rw\"}]}"

// ---- Names ----

// Whether an instance may be called so, which is the contract's rule.
static bool is_name(text it) {
    if (it.len < 1 || it.len > 128) return false;
    for (size_t i = 0; i < it.len; i++) {
        char byte = it.ptr[i];
        bool letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
        if (!letter && !(byte >= '0' && byte <= '9') && byte != '.' && byte != '_' && byte != '-') return false;
    }
    return true;
}

// Where an instance is. A name may begin with a dot, a folder's name may not: it gets an `@`, which is in no name.
static char *folder_of(text name) {
    return format("%s/%s%.*s", store_root, name.ptr[0] == '.' ? "@" : "", (int)name.len, name.ptr);
}

// The name of the instance that a folder would be; empty where none has such a name.
static text name_of(const char *folder) {
    text name = text_from(folder[0] == '@' ? folder + 1 : folder);
    return is_name(name) && (folder[0] == '@') == (name.ptr[0] == '.') ? name : TEXT("");
}

// ---- Failures ----

static bool granted(fault *wrong) {
    return is_folder(store_root) || fail(wrong, PERMISSION_DENIED, "no directory is granted as /services; " GRANT);
}

static bool failed(fault *wrong, const char *doing, text name, int why) {
    code code = INTERNAL;
    const char *hint = "look at the directory";
    if (why == EACCES || why == EPERM || why == EROFS) code = PERMISSION_DENIED, hint = GRANT;
    if (why == ENOSPC || why == EDQUOT) code = RESOURCE_EXHAUSTED, hint = "make room on the disk";
    return fail(wrong, code, "cannot %s `%s` in /services: %s; %s", doing, shown(name), strerror(why), hint);
}

// ---- What an instance was made from ----

static int by_tag(const void *a, const void *b) {
    text left = FROM_HOST(((const contract_tag *)a)->f0), right = FROM_HOST(((const contract_tag *)b)->f0);
    return text_compare(&left, &right);
}

static void put_tags(buffer *out, const contract_tags *tags) {
    put(out, TEXT("{"));
    for (size_t i = 0; i < tags->len; i++) {
        if (i > 0) put(out, TEXT(", "));
        put_string(out, FROM_HOST(tags->ptr[i].f0));
        put(out, TEXT(": "));
        put_string(out, FROM_HOST(tags->ptr[i].f1));
    }
    put(out, TEXT("}"));
}

// `spec.json`. What is in "spec" is as it was given to `provision`, so that it can be compared.
static text record_of(const contract_spec *spec) {
    buffer out = {0};
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    put(&out, TEXT("{\"created_at_ms\": "));
    put_number(&out, (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000);
    put(&out, TEXT(",\n\"spec\": {\"properties\": "));
    put(&out, FROM_HOST(spec->properties));
    put(&out, TEXT(",\n\"tags\": "));
    put_tags(&out, &spec->tags);
    put(&out, TEXT(",\n\"init\": "));
    put_string(&out, FROM_HOST(spec->init));
    put(&out, TEXT(",\n\"logical_id\": "));
    if (spec->logical_id.is_some) put_string(&out, FROM_HOST(spec->logical_id.val));
    else put(&out, TEXT("null"));
    put(&out, TEXT(",\n\"attachments\": ["));
    for (size_t i = 0; i < spec->attachments.len; i++) {
        put(&out, i > 0 ? TEXT(", [") : TEXT("["));
        put_string(&out, FROM_HOST(spec->attachments.ptr[i].kind));
        put(&out, TEXT(", "));
        put_string(&out, FROM_HOST(spec->attachments.ptr[i].id));
        put(&out, TEXT("]"));
    }
    put(&out, TEXT("]}}\n"));
    return put_end(&out);
}

// A file of JSON, and its text. NULL where all is well.
static const char *read_json(const char *path, text *content, json *into) {
    int why = read_file(path, content);
    return why != 0 ? strerror(why) : json_read(*content, into);
}

// ---- The calls ----

// How the folder of a service begins that is being destroyed; a number and the instance's name follow.
#define GONE ".gone-"
enum { GONE_LENGTH = 6 + 16 + 1 };

// How long runsv may take to end a service before that is left to a person.
enum { STOPPING_SECONDS = 300 };

// The name of the instance that a folder was; empty where it was none.
static text name_of_gone(const char *folder) {
    bool gone = strncmp(folder, GONE, strlen(GONE)) == 0 && strlen(folder) > GONE_LENGTH;
    return gone && is_name(text_from(folder + GONE_LENGTH)) ? text_from(folder + GONE_LENGTH) : TEXT("");
}

// Remove what was destroyed before, and has ended since.
static void sweep(void) {
    char **folders;
    size_t count;
    if (read_folder(store_root, &folders, &count) != 0) return;
    for (size_t i = 0; i < count; i++) {
        char *path = format("%s/%s", store_root, folders[i]);
        if (name_of_gone(folders[i]).len > 0 && !service_runs(path)) remove_tree(path);
    }
}

bool store_provision(text name, const contract_spec *spec, const service *service, contract_string *id, fault *wrong) {
    json ours, theirs;
    text content;
    if (!is_name(name))
        return fail(wrong, INVALID_ARGUMENT, "`%s` cannot name an instance: 1 to 128 of A-Z a-z 0-9 . _ -", shown(name));
    if (!granted(wrong)) return false;
    sweep();
    text record = record_of(spec);
    const char *problem = json_read(record, &ours);
    if (problem != NULL) return fail(wrong, INVALID_ARGUMENT, "the spec cannot be written down: %s", problem);

    char *aside = format("%s/.new-%016llx", store_root, unique()), *folder = folder_of(name);
    int why = make_folder(aside);
    if (why == 0) why = write_file(format("%s/spec.json", aside), record);
    if (why == 0) why = service_write(aside, name, spec, service);
    if (why == 0) why = move(aside, folder);
    *id = to_host(name);
    if (why == 0) return true;
    // What cannot be removed is in nobody's way.
    remove_tree(aside);
    if (why != EEXIST && why != ENOTEMPTY && why != ENOTDIR) return failed(wrong, "make", name, why);

    problem = read_json(format("%s/spec.json", folder), &content, &theirs);
    if (problem == NULL && json_member(&theirs, "spec") != NULL) {
        if (json_equal(json_member(&ours, "spec"), json_member(&theirs, "spec"))) return true;
        return fail(wrong, ALREADY_EXISTS, "`%s` exists, made from another spec", shown(name));
    }
    if (!exists(folder)) return fail(wrong, ABORTED, "another call destroyed `%s` meanwhile", shown(name));
    return fail(wrong, ALREADY_EXISTS, "`%s` is taken by something that is not an instance of this plugin: %s",
                shown(name), problem == NULL ? "its spec.json is of another kind" : problem);
}

bool store_label(text id, const contract_tags *tags, fault *wrong) {
    if (!granted(wrong)) return false;
    char *folder = is_name(id) ? folder_of(id) : NULL;
    if (folder == NULL || !exists(format("%s/spec.json", folder)))
        return fail(wrong, NOT_FOUND, "there is no instance `%s`", shown(id));
    buffer out = {0};
    json again;
    put_tags(&out, tags);
    const char *problem = json_read(put_end(&out), &again);
    if (problem != NULL) return fail(wrong, INVALID_ARGUMENT, "the tags cannot be written down: %s", problem);
    char *aside = format("%s/.tags-%016llx", folder, unique());
    int why = write_file(aside, put_end(&out));
    for (unsigned number = 1; why == 0; number++) {
        int taken = link_to(aside, format("%s/tags.%u.json", folder, number));
        if (taken == 0) break;
        if (taken != EEXIST) why = taken;
    }
    remove_tree(aside);
    if (why == ENOENT) return fail(wrong, NOT_FOUND, "there is no instance `%s`", shown(id));
    return why == 0 || failed(wrong, "label", id, why);
}

bool store_destroy(text id, fault *wrong) {
    if (!is_name(id)) return fail(wrong, INVALID_ARGUMENT, "`%s` is not an id that this plugin gives", shown(id));
    if (!granted(wrong)) return false;
    sweep();
    char *folder = folder_of(id), *aside = format("%s/" GONE "%016llx-%.*s", store_root, unique(), (int)id.len, id.ptr);
    if (!exists(format("%s/spec.json", folder))) {
        if (!exists(folder)) return true;
        return fail(wrong, PERMISSION_DENIED, "`%s` is not an instance of this plugin, and is left alone", shown(id));
    }
    // It says when the instance was destroyed, and to runsv that the service is not to be started again.
    int why = write_file(format("%s/down", folder), TEXT(""));
    if (why == 0 || why == EEXIST) why = move(folder, aside);
    if (why == ENOENT) return true;
    if (why != 0) return failed(wrong, "destroy", id, why);
    // runsvdir sees no such service any more, and has runsv end it. Until then it is listed as stopping.
    if (!service_runs(aside)) remove_tree(aside);
    return true;
}

// ---- Listing ----

// Put the tags of an object over those that are there, which are in order and stay so.
static void overlay(contract_tags *tags, const json *more) {
    size_t before = tags->len, count = more == NULL ? 0 : more->count;
    tags->ptr = reallocate(tags->ptr, before + count, sizeof *tags->ptr);
    for (size_t i = 0; i < count; i++) {
        contract_tag tag = {.f0 = to_host(more->items[i].key), .f1 = to_host(more->items[i].value)};
        contract_tag *found = bsearch(&tag, tags->ptr, before, sizeof tag, by_tag);
        if (found != NULL) *found = tag;
        else tags->ptr[tags->len++] = tag;
    }
    qsort(tags->ptr, tags->len, sizeof *tags->ptr, by_tag);
}

// The instance that a folder is; what is wrong where it is none.
static const char *look(const char *folder, text name, contract_instance *into) {
    json record, more;
    text content;
    if (name.len == 0) return "no instance has such a name";
    const char *problem = read_json(format("%s/spec.json", folder), &content, &record);
    if (problem != NULL) return problem;
    const json *spec = json_member(&record, "spec"), *created = json_member(&record, "created_at_ms");
    const json *logical_id = json_member(spec, "logical_id");
    if (spec == NULL || created == NULL || logical_id == NULL) return "its spec.json is of another kind";

    *into = (contract_instance){.id = to_host(name), .name = to_host(name)};
    service_look(folder, into);
    into->logical_id.is_some = logical_id->kind == JSON_STRING;
    if (into->logical_id.is_some) into->logical_id.val = to_host(logical_id->value);
    into->created_at_ms.is_some = created->kind == JSON_NUMBER;
    into->created_at_ms.val = strtoull(shown(created->value), NULL, 10);
    into->properties.is_some = true;
    buffer out = {0};
    put_json(&out, json_member(spec, "properties"));
    into->properties.val = to_host(put_end(&out));
    overlay(&into->tags, json_member(spec, "tags"));
    for (unsigned number = 1;; number++) {
        char *path = format("%s/tags.%u.json", folder, number);
        if (!exists(path)) return NULL;
        problem = read_json(path, &content, &more);
        if (problem != NULL) return problem;
        overlay(&into->tags, &more);
    }
}

static bool carries(const contract_instance *instance, const contract_tags *wanted) {
    for (size_t i = 0; i < wanted->len; i++) {
        const contract_tags *tags = &instance->tags;
        const contract_tag *found = bsearch(&wanted->ptr[i], tags->ptr, tags->len, sizeof *tags->ptr, by_tag);
        if (found == NULL) return false;
        text has = FROM_HOST(found->f1), wants = FROM_HOST(wanted->ptr[i].f1);
        if (text_compare(&has, &wants) != 0) return false;
    }
    return true;
}

// One page, in the order of the folders' names. The cursor is the last name that was looked at.
bool store_list(const contract_request *request, contract_page *page, fault *wrong) {
    char **folders;
    size_t count;
    size_t limit = request->limit < MAX_PAGE ? request->limit : MAX_PAGE;
    if (limit == 0) return fail(wrong, INVALID_ARGUMENT, "the limit of a page is 1 or more");
    if (!granted(wrong)) return false;
    int why = read_folder(store_root, &folders, &count);
    if (why != 0) return fail(wrong, INTERNAL, "cannot list /services: %s", strerror(why));

    *page = (contract_page){.complete = true};
    page->instances.ptr = allocate(limit < count ? limit : count, sizeof *page->instances.ptr);
    page->findings.ptr = allocate(count + 1, sizeof *page->findings.ptr);
    if (!request->cursor.is_some && !exists(format("%s/.homeostat/run", store_root)))
        page->findings.ptr[page->findings.len++] = (contract_finding){
            to_host(TEXT(".homeostat/run")),
            to_host(TEXT("no service starts without it; put it there with `make install SERVICES=DIRECTORY`"))};
    for (size_t i = 0; i < count; i++) {
        text folder = text_from(folders[i]), cursor = FROM_HOST(request->cursor.val);
        text gone = name_of_gone(folders[i]);
        char *path = format("%s/%s", store_root, folders[i]);
        if (request->cursor.is_some && text_compare(&folder, &cursor) <= 0) continue;
        if (folder.ptr[0] == '.' && (gone.len == 0 || !service_runs(path))) continue;
        contract_instance instance;
        const char *problem = look(path, gone.len > 0 ? gone : name_of(folders[i]), &instance);
        if (problem == NULL && gone.len > 0) {
            instance.state = HOMEOSTAT_PLUGIN_TYPES_INSTANCE_STATE_STOPPING;
            if (service_age(path) > STOPPING_SECONDS) problem = "it was destroyed and still runs; does runsvdir run?";
        }
        if (problem == NULL) {
            if (!carries(&instance, &request->tags)) continue;
            instance.properties.is_some &= request->with_properties;
            page->instances.ptr[page->instances.len++] = instance;
            if (page->instances.len == limit && i + 1 < count) {
                page->next.is_some = true;
                page->next.val = to_host(folder);
                return true;
            }
        } else if (exists(path)) {
            // What has a spec may be an instance: then this list cannot say that it knows them all.
            if (gone.len == 0 && exists(format("%s/spec.json", path))) page->complete = false;
            contract_finding finding = {to_host(text_from(shown(folder))),
                                        to_host(text_from(format("not counted: %s", problem)))};
            page->findings.ptr[page->findings.len++] = finding;
        }
    }
    return true;
}
