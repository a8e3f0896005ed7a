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

static bool provision(const char *name, const char *properties, contract_string *id) {
    contract_tag tags[] = {{host("b"), host("2")}, {host("a"), host("\303\244\n\"")}};
    contract_spec spec = {.properties = host(properties), .tags = {tags, 2}, .init = host("echo\n")};
    spec.logical_id.is_some = true;
    spec.logical_id.val = host("db-1");
    contract_string given = host(name);
    return exports_homeostat_plugin_instance_provision(&given, &spec, id, &wrong);
}

static bool make(const char *name) {
    contract_string id;
    return provision(name, "{\"Note\": \"x\"}", &id) && text_is(FROM_HOST(id), name);
}

static bool label(const char *id, const char *key, const char *value) {
    contract_tag tag = {host(key), host(value)};
    contract_tags tags = {&tag, 1};
    contract_string given = host(id);
    return exports_homeostat_plugin_instance_label(&given, &tags, &wrong);
}

static bool destroy(const char *id) {
    contract_string given = host(id);
    return exports_homeostat_plugin_instance_destroy(&given, 0, &wrong);
}

static contract_page list(const char *key, const char *value, const char *cursor, unsigned limit) {
    contract_page page;
    contract_tag tag = {host(key), host(value)};
    contract_request request = {.tags = {&tag, key[0] != '\0'}, .with_properties = true, .limit = limit};
    request.cursor.is_some = cursor != NULL;
    if (cursor != NULL) request.cursor.val = host(cursor);
    CHECK(exports_homeostat_plugin_instance_list(&request, &page, &wrong));
    return page;
}

static size_t count(const char *folder) {
    char **names;
    size_t number;
    CHECK(read_folder(folder, &names, &number) == 0);
    return number;
}

static void the_example_is_as_it_should_be(void) {
    exports_homeostat_plugin_meta_plugin_description_t it;
    json schema;
    exports_homeostat_plugin_meta_describe_plugin(&it);
    CHECK(json_read(FROM_HOST(it.properties_schema), &schema) == NULL);
    CHECK(exports_homeostat_plugin_instance_validate(&it.properties_example, &wrong));
}

static void what_is_wrong_is_named(void) {
    static const char *const cases[][2] = {{"{", ""},       {"[]", ""},   {"{\"Note\": 1}", "/Note"}, {"{\"a/b~\": 1}", "/a~1b~0"},
                                           {"", ""},        {"nul", ""},  {"{}x", ""},                {"\"\\ud800\"", ""},
                                           {"\"\xff\"", ""}, {"[1,]", ""}, {"{\"a\":1,\"a\":2}", ""},  {"01", ""}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        contract_string properties = host(cases[i][0]);
        CHECK(!exports_homeostat_plugin_instance_validate(&properties, &wrong));
        CHECK(wrong.code == INVALID_ARGUMENT && wrong.path.is_some && text_is(FROM_HOST(wrong.path.val), cases[i][1]));
    }
    buffer deep = {0};
    for (int i = 0; i < 100000; i++) put(&deep, TEXT("["));
    contract_string properties = to_host(put_end(&deep));
    CHECK(!exports_homeostat_plugin_instance_validate(&properties, &wrong) && says(wrong.message, "too deep"));
}

static void an_instance_is_made_once_and_listed_as_it_was_made(void) {
    contract_string id;
    CHECK(make("web-1") && make("web-1") && count(store_root) == 1);
    contract_page page = list("a", "\303\244\n\"", NULL, 10);
    CHECK(page.instances.len == 1 && page.complete && !page.next.is_some && page.findings.len == 0);
    contract_instance *it = page.instances.ptr;
    CHECK(text_is(FROM_HOST(it->id), "web-1") && it->tags.len == 2 && text_is(FROM_HOST(it->logical_id.val), "db-1"));
    CHECK(text_is(FROM_HOST(it->properties.val), "{\"Note\":\"x\"}") && it->created_at_ms.val > 1600000000000);
    CHECK(list("a", "other", NULL, 10).instances.len == 0);
    CHECK(!provision("web-1", "{}", &id) && wrong.code == ALREADY_EXISTS);

    CHECK(label("web-1", "c", "3") && label("web-1", "a", "") && make("web-1"));
    it = list("c", "3", NULL, 10).instances.ptr;
    CHECK(it != NULL && it->tags.len == 3 && text_is(FROM_HOST(it->tags.ptr[0].f1), ""));

    CHECK(destroy("web-1") && destroy("web-1") && count(store_root) == 0);
    CHECK(!label("web-1", "c", "3") && wrong.code == NOT_FOUND);
}

static void no_name_leaves_the_directory(void) {
    static const char *const good[] = {"..", ".", ".new-0", "-", "x.json"}, *const bad[] = {"", "a/b", "../a", "\303\244"};
    for (size_t i = 0; i < 5; i++) CHECK(make(good[i]) && make(good[i]));
    for (size_t i = 0; i < 4; i++) CHECK(!make(bad[i]) && wrong.code == INVALID_ARGUMENT && !destroy(bad[i]));
    CHECK(list("", "", NULL, 10).instances.len == 5 && count(format("%s/..", store_root)) == 1);
    for (size_t i = 0; i < 5; i++) CHECK(destroy(good[i]));
}

static void pages_show_each_instance_once(void) {
    char *cursor = NULL, *seen = "";
    for (int i = 0; i < 5; i++) CHECK(make(format("web-%d", i)));
    for (;;) {
        contract_page page = list("", "", cursor, 2);
        for (size_t i = 0; i < page.instances.len; i++)
            seen = format("%s %.*s", seen, (int)page.instances.ptr[i].id.len, page.instances.ptr[i].id.ptr);
        if (!page.next.is_some) break;
        cursor = format("%.*s", (int)page.next.val.len, page.next.val.ptr);
    }
    CHECK(strcmp(seen, " web-0 web-1 web-2 web-3 web-4") == 0);
    for (int i = 0; i < 5; i++) CHECK(destroy(format("web-%d", i)));
}

static void what_is_not_an_instance_is_told_and_left_alone(void) {
    CHECK(write_file(format("%s/notes\xff", store_root), TEXT("")) == 0);
    CHECK(make_folder(format("%s/photos", store_root)) == 0);
    CHECK(write_file(format("%s/photos/1", store_root), TEXT("")) == 0);
    contract_page page = list("", "", NULL, 10);
    CHECK(page.instances.len == 0 && page.findings.len == 2 && page.complete && says(page.findings.ptr[0].subject, "notes?"));
    CHECK(!destroy("photos") && wrong.code == PERMISSION_DENIED);
    CHECK(!make("photos") && wrong.code == ALREADY_EXISTS);
    // What may be an instance and cannot be read makes the list one that does not know them all.
    CHECK(write_file(format("%s/photos/spec.json", store_root), TEXT("{")) == 0);
    CHECK(!list("", "", NULL, 10).complete);
}

static void without_a_grant_it_says_which(void) {
    store_root = "/nowhere";
    CHECK(!make("web-1") && wrong.code == PERMISSION_DENIED && says(wrong.message, "\"Grants\""));
}

int main(void) {
    char folder[] = "/tmp/{{NAME}}-XXXXXX";
    CHECK(mkdtemp(folder) != NULL);
    store_root = format("%s/in", folder);
    CHECK(make_folder(store_root) == 0);
    the_example_is_as_it_should_be();
    what_is_wrong_is_named();
    an_instance_is_made_once_and_listed_as_it_was_made();
    no_name_leaves_the_directory();
    pages_show_each_instance_once();
    what_is_not_an_instance_is_told_and_left_alone();
    without_a_grant_it_says_which();
    remove_tree(folder);
    puts("all tests passed");
    return 0;
}
