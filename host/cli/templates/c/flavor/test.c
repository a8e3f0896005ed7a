// The plugin on this machine, as the host calls it; built with the sanitizers of the compiler.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "contract.h"
#include "fault.h"
#include "json.h"

#define CHECK(condition)                                                                              \
    do {                                                                                              \
        if (!(condition)) fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition), exit(1); \
    } while (0)

static fault wrong;
static contract_allocation three = {.tag = HOMEOSTAT_PLUGIN_TYPES_ALLOCATION_SIZE, .val = {.size = 3}};

static contract_string host(const char *it) { return to_host(text_from(it)); }

static bool validate(contract_string properties) {
    return exports_homeostat_plugin_flavor_validate(&properties, &three, &wrong);
}

static bool prepare(const char *logical_id, const char *group, contract_spec *into) {
    contract_string properties = host("{\"Domain\": \"example.org\"}");
    contract_spec spec = {.properties = host("{}"), .init = host("echo hello")};
    contract_index index = {.group = host(group), .sequence = 3};
    spec.logical_id.is_some = logical_id != NULL;
    if (logical_id != NULL) spec.logical_id.val = host(logical_id);
    return exports_homeostat_plugin_flavor_prepare(&properties, &spec, &three, &index, into, &wrong);
}

static void the_example_is_as_it_should_be(void) {
    exports_homeostat_plugin_meta_plugin_description_t it;
    json schema;
    exports_homeostat_plugin_meta_describe_plugin(&it);
    CHECK(json_read(FROM_HOST(it.properties_schema), &schema) == NULL && validate(it.properties_example));
}

static void what_is_wrong_is_named(void) {
    static const char *const cases[][2] = {
        {"{", ""},
        {"", ""},
        {"null", ""},
        {"{}", "/Domain"},
        {"{\"Domain\": 1}", "/Domain"},
        {"{\"Domain\": \"\"}", "/Domain"},
        {"{\"Domain\": \"a b; reboot\"}", "/Domain"},
        {"{\"Domain\": \"a..b\"}", "/Domain"},
        {"{\"Domain\": \"a-\"}", "/Domain"},
        {"{\"Domain\": \"a\\u0000\"}", "/Domain"},
        {"{\"Domain\": \"a\", \"x/y\": 1}", "/x~1y"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CHECK(!validate(host(cases[i][0])));
        CHECK(wrong.code == INVALID_ARGUMENT && wrong.path.is_some && text_is(FROM_HOST(wrong.path.val), cases[i][1]));
    }
    buffer deep = {0};
    for (int i = 0; i < 100000; i++) put(&deep, TEXT("["));
    CHECK(!validate(to_host(put_end(&deep))));
}

static void each_gets_its_name_and_all_else_stays(void) {
    contract_spec made;
    CHECK(prepare(NULL, "web", &made) && text_is(FROM_HOST(made.init), "hostname web-3.example.org\necho hello"));
    CHECK(text_is(FROM_HOST(made.properties), "{}"));
    CHECK(prepare("db-1", "web", &made) && text_is(FROM_HOST(made.init), "hostname db-1.example.org\necho hello"));
    CHECK(!prepare(NULL, "a b;", &made) && wrong.code == INVALID_ARGUMENT);
}

static void health_answers_for_each_in_order(void) {
    contract_string properties = host("{\"Domain\": \"example.org\"}");
    contract_instance all[] = {{.state = HOMEOSTAT_PLUGIN_TYPES_INSTANCE_STATE_FAILED},
                               {.state = HOMEOSTAT_PLUGIN_TYPES_INSTANCE_STATE_RUNNING},
                               {.state = HOMEOSTAT_PLUGIN_TYPES_INSTANCE_STATE_PENDING}};
    contract_instances instances = {all, 3}, none = {NULL, 0};
    contract_reports reports;
    CHECK(exports_homeostat_plugin_flavor_health(&properties, &instances, &reports, &wrong) && reports.len == 3);
    CHECK(reports.ptr[0].status == EXPORTS_HOMEOSTAT_PLUGIN_FLAVOR_HEALTH_STATUS_UNHEALTHY);
    CHECK(reports.ptr[1].status == EXPORTS_HOMEOSTAT_PLUGIN_FLAVOR_HEALTH_STATUS_HEALTHY);
    CHECK(reports.ptr[2].status == EXPORTS_HOMEOSTAT_PLUGIN_FLAVOR_HEALTH_STATUS_UNKNOWN);
    CHECK(exports_homeostat_plugin_flavor_health(&properties, &none, &reports, &wrong) && reports.len == 0);
}

int main(void) {
    the_example_is_as_it_should_be();
    what_is_wrong_is_named();
    each_gets_its_name_and_all_else_stays();
    health_answers_for_each_in_order();
    puts("all tests passed");
    return 0;
}
