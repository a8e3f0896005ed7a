// Instances as service directories: `NAME/spec.json` is what the instance was made from, `NAME/tags.N.json` what was added
// later, and beside them is what runsv needs (service.h).
//
// The directory is the only memory, and calls may run at the same time or be cut off anywhere. Three rules keep it true:
// - a folder is made under a name that begins with a dot, which runsvdir passes over, and renamed when it is whole. Of two
//   calls for one name, one renames; the other finds the folder;
// - a label is a file more, which is linked to its name when it is whole. Nothing is written twice, so nothing is lost;
// - a folder is destroyed by another name that begins with a dot: runsvdir ends the service, and the folder goes when it
//   has ended.
#ifndef STORE_H
#define STORE_H

#include "contract.h"
#include "fault.h"
#include "service.h"

// What the plugin calls the directory of services. Tests have one of their own.
extern const char *store_root;

bool store_provision(text name, const contract_spec *spec, const service *service, contract_string *id, fault *wrong);
bool store_label(text id, const contract_tags *tags, fault *wrong);
bool store_destroy(text id, fault *wrong);
bool store_list(const contract_request *request, contract_page *page, fault *wrong);

#endif
