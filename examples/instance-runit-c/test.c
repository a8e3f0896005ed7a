// The plugin on this machine, as the host calls it, over a directory of its own; built with the sanitizers of the compiler.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "contract.h"
#include "fault.h"
#include "files.h"
#include "json.h"
#include "store.h"

#define CHECK(condition)                                                                              \
    do {                                                                                              \
        if (!(condition)) fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition), exit(1); \
    } while (0)

static fault wrong;

static contract_string host(const char *it) { return to_host(text_from(it)); }

static bool says(contract_string it, const char *part) { return strstr(format("%.*s", (int)it.len, it.ptr), part) != NULL; }

static bool holds(const char *path, const char *part) {
    text content;
    return read_file(format("%s/%s", store_root, path), &content) == 0 &&
           strstr(format("%.*s", (int)content.len, content.ptr), part) != NULL;
}

static bool make(const char *name, const char *properties, const char *init) {
    contract_string given = host(name), id;
    contract_spec spec = {.properties = host(properties), .init = host(init)};
    return exports_homeostat_plugin_instance_provision(&given, &spec, &id, &wrong) && text_is(FROM_HOST(id), name);
}

static bool destroy(const char *id) {
    contract_string given = host(id);
    return exports_homeostat_plugin_instance_destroy(&given, 0, &wrong);
}

static contract_page list(const char *cursor, unsigned limit) {
    contract_page page;
    contract_request request = {.limit = limit};
    request.cursor.is_some = cursor != NULL;
    if (cursor != NULL) request.cursor.val = host(cursor);
    CHECK(exports_homeostat_plugin_instance_list(&request, &page, &wrong));
    return page;
}

static contract_instance only(void) {
    contract_page page = list(NULL, 10);
    CHECK(page.instances.len == 1);
    return page.instances.ptr[0];
}

// What runsv would write.
static void status(const char *folder, char wanted, char state) {
    char bytes[20] = {0};
    bytes[12] = 42;
    bytes[17] = wanted;
    bytes[19] = state;
    char *supervise = format("%s/%s/supervise", store_root, folder), *path = format("%s/status", supervise);
    make_folder(supervise);
    remove_tree(path);
    CHECK(write_file(path, (text){bytes, sizeof bytes}) == 0);
}

static void left(const char *folder, const char *ending) {
    char *path = format("%s/%s/exit", store_root, folder);
    remove_tree(path);
    CHECK(write_file(path, text_from(ending)) == 0);
}

static void what_is_wrong_is_named(void) {
    static const char *const cases[][2] = {
        {"{", ""},
        {"7", ""},
        {"{\"Command\": []}", "/Command"},
        {"{\"Command\": [\"\"]}", "/Command/0"},
        {"{\"Command\": [\"a\", \"\\u0000\"]}", "/Command/1"},
        {"{\"Env\": {\"a b\": \"c\"}}", "/Env/a b"},
        {"{\"Env\": {\"A\": 1}}", "/Env/A"},
        {"{\"Log\": 1}", "/Log"},
        {"{\"Restart\": \"maybe\"}", "/Restart"},
        {"{\"Comand\": [\"a\"]}", "/Comand"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        contract_string properties = host(cases[i][0]);
        CHECK(!exports_homeostat_plugin_instance_validate(&properties, &wrong));
        CHECK(wrong.code == INVALID_ARGUMENT && wrong.path.is_some && text_is(FROM_HOST(wrong.path.val), cases[i][1]));
    }
    CHECK(!make("web-1", "null", "") && wrong.code == INVALID_ARGUMENT && says(wrong.message, "nothing to run"));
    exports_homeostat_plugin_meta_plugin_description_t it;
    json schema;
    exports_homeostat_plugin_meta_describe_plugin(&it);
    CHECK(json_read(FROM_HOST(it.properties_schema), &schema) == NULL);
    CHECK(exports_homeostat_plugin_instance_validate(&it.properties_example, &wrong));
}

static void a_service_is_made_once_and_a_shell_reads_what_was_meant(void) {
    const char *properties = "{\"Command\": [\"/bin/echo\", \"it's $HOME\", \"\"], \"Env\": {\"A\": \"'; reboot\"}}";
    CHECK(make("web-1", properties, "true") && make("web-1", properties, "true"));
    CHECK(!make("web-1", "{\"Command\": [\"a\"]}", "true") && wrong.code == ALREADY_EXISTS);
    CHECK(holds("web-1/service", "export A=''\\''; reboot'\n"));
    CHECK(holds("web-1/service", "exec '/bin/echo' 'it'\\''s $HOME' ''\n") && holds("web-1/init", "true"));
    char leads[64] = {0};
    CHECK(readlink(format("%s/web-1/log/run", store_root), leads, sizeof leads - 1) > 0);
    CHECK(strcmp(leads, "../../.homeostat/log") == 0);
    CHECK(destroy("web-1") && destroy("web-1") && !exists(format("%s/web-1", store_root)));

    CHECK(make(".hidden", "{\"Log\": false}", "exec sleep 9") && holds("@.hidden/service", "exec /bin/sh ./init\n"));
    CHECK(!exists(format("%s/@.hidden/log", store_root)) && destroy(".hidden"));
}

static void the_state_is_what_runsv_says(void) {
    enum { PENDING, RUNNING, STOPPING, STOPPED, FAILED };
    CHECK(make("web-1", "{\"Command\": [\"a\"]}", "") && only().state == PENDING);
    status("web-1", 'u', 1);
    CHECK(only().state == RUNNING && says(only().message, "process 42"));
    status("web-1", 'u', 0);
    CHECK(only().state == PENDING);
    left("web-1", "-1 9 1\n");
    CHECK(only().state == PENDING && says(only().message, "signal 9"));
    left("web-1", "3 0 5\n");
    CHECK(only().state == FAILED && says(only().message, "status 3, the 5th time"));
    left("web-1", "nonsense");
    status("web-1", 'd', 0);
    CHECK(only().state == STOPPED);

    // A service that still runs is listed until it has ended, and its folder goes with the next call.
    status("web-1", 'u', 1);
    CHECK(destroy("web-1") && only().state == STOPPING && text_is(FROM_HOST(only().id), "web-1"));
    CHECK(destroy("web-1") && list(NULL, 10).instances.len == 1);
    char **names;
    size_t count;
    CHECK(read_folder(store_root, &names, &count) == 0 && count == 1);
    status(names[0], 'd', 0);
    CHECK(list(NULL, 10).instances.len == 0 && destroy("web-1"));
    CHECK(read_folder(store_root, &names, &count) == 0 && count == 0);

    CHECK(make("job-1", "{\"Command\": [\"a\"], \"Restart\": \"never\"}", ""));
    status("job-1", 'd', 0);
    left("job-1", "0 0 1\n");
    CHECK(only().state == STOPPED);
    left("job-1", "1 0 1\n");
    CHECK(only().state == FAILED && destroy("job-1"));
}

static void pages_show_each_instance_once(void) {
    char *cursor = NULL, *seen = "";
    for (int i = 0; i < 5; i++) CHECK(make(format("web-%d", i), "null", "true"));
    for (;;) {
        contract_page page = list(cursor, 2);
        for (size_t i = 0; i < page.instances.len; i++)
            seen = format("%s %.*s", seen, (int)page.instances.ptr[i].id.len, page.instances.ptr[i].id.ptr);
        if (!page.next.is_some) break;
        cursor = format("%.*s", (int)page.next.val.len, page.next.val.ptr);
    }
    CHECK(strcmp(seen, " web-0 web-1 web-2 web-3 web-4") == 0);
    CHECK(list(NULL, 10).findings.len == 1 && says(list(NULL, 10).findings.ptr[0].message, "make install"));
}

int main(void) {
    char folder[] = "/tmp/instance-runit-XXXXXX";
    CHECK(mkdtemp(folder) != NULL);
    store_root = folder;
    what_is_wrong_is_named();
    a_service_is_made_once_and_a_shell_reads_what_was_meant();
    the_state_is_what_runsv_says();
    pages_show_each_instance_once();
    remove_tree(folder);
    store_root = "/nowhere";
    CHECK(!make("web-1", "null", "true") && wrong.code == PERMISSION_DENIED && says(wrong.message, "\"Grants\""));
    puts("all tests passed");
    return 0;
}
