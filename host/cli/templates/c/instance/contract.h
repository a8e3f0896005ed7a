// Shorter names for what `wit-bindgen` makes of wit/.
#ifndef CONTRACT_H
#define CONTRACT_H

#include "instance_plugin.h"

typedef instance_plugin_string_t contract_string;
typedef homeostat_plugin_types_tags_t contract_tags;
typedef instance_plugin_tuple2_string_string_t contract_tag;
typedef homeostat_plugin_types_instance_spec_t contract_spec;
typedef homeostat_plugin_types_instance_t contract_instance;
typedef exports_homeostat_plugin_instance_list_request_t contract_request;
typedef exports_homeostat_plugin_instance_page_t contract_page;
typedef exports_homeostat_plugin_instance_finding_t contract_finding;

#endif
