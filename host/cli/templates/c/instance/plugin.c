// {{NAME}}: an instance plugin for homeostat.
//
// As it was written for you, an instance is a folder in the directory that the operator grants as `/instances`. That is
// store.c: put your provider in its place. This file is what the host calls, and what the properties are.

#include "contract.h"
#include "fault.h"
#include "json.h"
#include "store.h"

#ifdef __wasm__
// What the plugin wants of the operator, as a custom section of the component.
__asm__(".section \".custom_section.homeostat:manifest\",\"\",@\n.incbin \"manifest.json\"\n.text\n");
#endif

// The host checks every spec against this before it calls `validate`.
static const char schema[] = "{\"type\": [\"object\", \"null\"], \"additionalProperties\": false, \"properties\": {"
                             "\"Note\": {\"type\": \"string\", \"description\": \"A word about the instance\"}}}";

void exports_homeostat_plugin_meta_describe_plugin(exports_homeostat_plugin_meta_plugin_description_t *into) {
    into->name = to_host(TEXT("{{NAME}}"));
    into->version = to_host(TEXT("0.1.0"));
    into->summary = to_host(TEXT("Instances as folders in a granted directory"));
    into->properties_schema = to_host(TEXT(schema));
    into->properties_example = to_host(TEXT("{\"Note\": \"hello\"}"));
}

// Whether the properties are as they should be: what the schema says, and what it cannot say.
static bool check(text properties, fault *wrong) {
    json it;
    const char *problem = json_read(properties, &it);
    if (problem != NULL) return invalid(wrong, TEXT(""), "the properties are not JSON: %s", problem);
    if (it.kind == JSON_NULL) return true;
    if (it.kind != JSON_OBJECT) return invalid(wrong, TEXT(""), "the properties are an object");
    for (size_t i = 0; i < it.count; i++) {
        const json *member = &it.items[i];
        if (!text_is(member->key, "Note"))
            return invalid(wrong, path_of(member->key), "there is no such property; there is Note");
        if (member->kind != JSON_STRING) return invalid(wrong, TEXT("/Note"), "Note is a text");
    }
    return true;
}

bool exports_homeostat_plugin_instance_validate(contract_string *properties, fault *wrong) {
    return check(FROM_HOST(*properties), wrong);
}

bool exports_homeostat_plugin_instance_provision(contract_string *name, contract_spec *spec, contract_string *id,
                                                 fault *wrong) {
    return check(FROM_HOST(spec->properties), wrong) && store_provision(FROM_HOST(*name), spec, id, wrong);
}

bool exports_homeostat_plugin_instance_label(contract_string *id, contract_tags *tags, fault *wrong) {
    return store_label(FROM_HOST(*id), tags, wrong);
}

bool exports_homeostat_plugin_instance_destroy(contract_string *id,
                                               exports_homeostat_plugin_instance_destroy_reason_t reason,
                                               fault *wrong) {
    (void)reason;
    return store_destroy(FROM_HOST(*id), wrong);
}

bool exports_homeostat_plugin_instance_list(contract_request *request, contract_page *page, fault *wrong) {
    return store_list(request, page, wrong);
}
