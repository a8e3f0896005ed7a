// instance-runit: instances as service directories of runit. This file is what the host calls.

#include "contract.h"
#include "fault.h"
#include "json.h"
#include "service.h"
#include "store.h"

#ifdef __wasm__
// What the plugin wants of the operator, as a custom section of the component.
__asm__(".section \".custom_section.homeostat:manifest\",\"\",@\n.incbin \"manifest.json\"\n.text\n");
#endif

// The host checks every spec against this before it calls `validate`.
static const char schema[] =
    "{\"type\": [\"object\", \"null\"], \"additionalProperties\": false, \"properties\": {"
    "\"Command\": {\"type\": \"array\", \"minItems\": 1, \"items\": {\"type\": \"string\"},"
    " \"description\": \"The program and its arguments; without it, Init is the service\"},"
    "\"Env\": {\"type\": \"object\", \"additionalProperties\": {\"type\": \"string\"},"
    " \"propertyNames\": {\"pattern\": \"^[A-Za-z_][A-Za-z0-9_]*$\"}, \"description\": \"Its environment\"},"
    "\"Log\": {\"type\": \"boolean\", \"description\": \"Whether svlogd keeps its output; true unless said otherwise\"},"
    "\"Restart\": {\"enum\": [\"always\", \"never\"], \"description\": \"Whether runsv starts it again when it ends;"
    " always unless said otherwise. What ended and is not started again is stopped, or failed where its status is not 0\"}}}";

static const char example[] = "{\"Command\": [\"/usr/bin/python3\", \"-m\", \"http.server\", \"8000\"],"
                              " \"Env\": {\"PYTHONUNBUFFERED\": \"1\"}, \"Restart\": \"always\"}";

void exports_homeostat_plugin_meta_describe_plugin(exports_homeostat_plugin_meta_plugin_description_t *into) {
    into->name = to_host(TEXT("instance-runit"));
    into->version = to_host(TEXT("0.1.0"));
    into->summary = to_host(TEXT("Processes that runit supervises, as service directories"));
    into->properties_schema = to_host(TEXT(schema));
    into->properties_example = to_host(TEXT(example));
}

bool exports_homeostat_plugin_instance_validate(contract_string *properties, fault *wrong) {
    service it;
    return service_read(FROM_HOST(*properties), &it, wrong);
}

bool exports_homeostat_plugin_instance_provision(contract_string *name, contract_spec *spec, contract_string *id,
                                                 fault *wrong) {
    service it;
    if (!service_read(FROM_HOST(spec->properties), &it, wrong)) return false;
    if (it.command == NULL && spec->init.len == 0)
        return invalid(wrong, TEXT(""), "there is nothing to run: give a Command, or have the flavor give an Init");
    return store_provision(FROM_HOST(*name), spec, &it, id, wrong);
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
