// {{NAME}}: a flavor plugin for homeostat.
//
// As it was written for you, it gives each instance a host name: `GROUP-1.DOMAIN`, `GROUP-2.DOMAIN`, or its logical id.

#include "contract.h"
#include "fault.h"
#include "json.h"

#ifdef __wasm__
// What the plugin wants of the operator, as a custom section of the component.
__asm__(".section \".custom_section.homeostat:manifest\",\"\",@\n.incbin \"manifest.json\"\n.text\n");
#endif

// The host checks every spec against this before it calls `validate`.
static const char schema[] = "{\"type\": \"object\", \"required\": [\"Domain\"], \"additionalProperties\": false, \"properties\": {"
                             "\"Domain\": {\"type\": \"string\", \"description\": \"What follows the name of an instance\"}}}";

void exports_homeostat_plugin_meta_describe_plugin(exports_homeostat_plugin_meta_plugin_description_t *into) {
    into->name = to_host(TEXT("{{NAME}}"));
    into->version = to_host(TEXT("0.1.0"));
    into->summary = to_host(TEXT("Gives each instance a host name"));
    into->properties_schema = to_host(TEXT(schema));
    into->properties_example = to_host(TEXT("{\"Domain\": \"example.org\"}"));
}

// Whether all labels of a host name are as RFC 1123 wants them.
static bool is_host(text it) {
    size_t label = 0;
    for (size_t i = 0; i <= it.len; i++) {
        char byte = i < it.len ? it.ptr[i] : '.';
        bool alphanumeric = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9');
        if (byte == '.') {
            if (label < 1 || label > 63 || it.ptr[i - 1] == '-') return false;
            label = 0;
        } else if (alphanumeric || (byte == '-' && label > 0)) {
            label++;
        } else {
            return false;
        }
    }
    return it.len <= 253;
}

// The domain, where the properties are as they should be: what the schema says, and what it cannot say.
static bool read_domain(contract_string *properties, text *into, fault *wrong) {
    json it;
    const char *problem = json_read(FROM_HOST(*properties), &it);
    if (problem != NULL) return invalid(wrong, TEXT(""), "the properties are not JSON: %s", problem);
    if (it.kind != JSON_OBJECT) return invalid(wrong, TEXT(""), "the properties are an object with Domain");
    for (size_t i = 0; i < it.count; i++)
        if (!text_is(it.items[i].key, "Domain"))
            return invalid(wrong, path_of(it.items[i].key), "there is no such property; there is Domain");
    const json *domain = json_member(&it, "Domain");
    if (domain == NULL || domain->kind != JSON_STRING || !is_host(domain->value))
        return invalid(wrong, TEXT("/Domain"),
                       "Domain holds labels of letters, digits and `-`, with dots between them: \"example.org\"");
    *into = domain->value;
    return true;
}

bool exports_homeostat_plugin_flavor_validate(contract_string *properties, contract_allocation *allocation, fault *wrong) {
    text domain;
    (void)allocation;
    return read_domain(properties, &domain, wrong);
}

// The same arguments give the same answer: whatever is read here must not change between two calls.
bool exports_homeostat_plugin_flavor_prepare(contract_string *properties, contract_spec *spec, contract_allocation *allocation,
                                             contract_index *index, contract_spec *prepared, fault *wrong) {
    text domain;
    buffer host = {0}, init = {0};
    (void)allocation;
    if (!read_domain(properties, &domain, wrong)) return false;
    if (spec->logical_id.is_some) {
        put(&host, FROM_HOST(spec->logical_id.val));
    } else {
        put(&host, FROM_HOST(index->group));
        put(&host, TEXT("-"));
        put_number(&host, index->sequence);
    }
    put(&host, TEXT("."));
    put(&host, domain);
    // Nobody's shell should read more than a name here.
    if (!is_host(put_end(&host)))
        return fail(wrong, INVALID_ARGUMENT, "`%s` is no host name; name the group in letters, digits, `-`", shown(put_end(&host)));

    // This flavor's part is added to what other parts of the spec ask for, which stays.
    put(&init, TEXT("hostname "));
    put(&init, put_end(&host));
    put(&init, TEXT("\n"));
    put(&init, FROM_HOST(spec->init));
    *prepared = *spec;
    prepared->init = to_host(put_end(&init));
    return true;
}

static contract_report report(uint8_t status, const char *message) {
    return (contract_report){.status = status, .message = to_host(text_from(message))};
}

static contract_report judge(const contract_instance *instance) {
    switch (instance->state) {
    case HOMEOSTAT_PLUGIN_TYPES_INSTANCE_STATE_RUNNING:
        return report(EXPORTS_HOMEOSTAT_PLUGIN_FLAVOR_HEALTH_STATUS_HEALTHY, "");
    case HOMEOSTAT_PLUGIN_TYPES_INSTANCE_STATE_STOPPED:
    case HOMEOSTAT_PLUGIN_TYPES_INSTANCE_STATE_FAILED:
        return report(EXPORTS_HOMEOSTAT_PLUGIN_FLAVOR_HEALTH_STATUS_UNHEALTHY, "it does not run");
    default:
        return report(EXPORTS_HOMEOSTAT_PLUGIN_FLAVOR_HEALTH_STATUS_UNKNOWN, "it is on its way in or out");
    }
}

// One report for each instance, in the order given. What cannot be told is unknown, which changes nothing.
bool exports_homeostat_plugin_flavor_health(contract_string *properties, contract_instances *instances,
                                            contract_reports *reports, fault *wrong) {
    (void)properties;
    (void)wrong;
    reports->ptr = allocate(instances->len, sizeof *reports->ptr);
    reports->len = instances->len;
    for (size_t i = 0; i < instances->len; i++) reports->ptr[i] = judge(&instances->ptr[i]);
    return true;
}

bool exports_homeostat_plugin_flavor_drain(contract_string *properties, exports_homeostat_plugin_flavor_instance_t *instance,
                                           fault *wrong) {
    (void)properties;
    (void)instance;
    (void)wrong;
    return true;
}
