// Errors in the contract's words, and texts on their way to the host.
#ifndef FAULT_H
#define FAULT_H

#include "contract.h"
#include "json.h"

// Choose the code by what the caller should do next: wit/types.wit tells it.
typedef enum {
    INVALID_ARGUMENT = HOMEOSTAT_PLUGIN_TYPES_ERROR_CODE_INVALID_ARGUMENT,
    NOT_FOUND = HOMEOSTAT_PLUGIN_TYPES_ERROR_CODE_NOT_FOUND,
    ALREADY_EXISTS = HOMEOSTAT_PLUGIN_TYPES_ERROR_CODE_ALREADY_EXISTS,
    PERMISSION_DENIED = HOMEOSTAT_PLUGIN_TYPES_ERROR_CODE_PERMISSION_DENIED,
    RESOURCE_EXHAUSTED = HOMEOSTAT_PLUGIN_TYPES_ERROR_CODE_RESOURCE_EXHAUSTED,
    UNAVAILABLE = HOMEOSTAT_PLUGIN_TYPES_ERROR_CODE_UNAVAILABLE,
    ABORTED = HOMEOSTAT_PLUGIN_TYPES_ERROR_CODE_ABORTED,
    UNIMPLEMENTED = HOMEOSTAT_PLUGIN_TYPES_ERROR_CODE_UNIMPLEMENTED,
    INTERNAL = HOMEOSTAT_PLUGIN_TYPES_ERROR_CODE_INTERNAL,
} code;

typedef homeostat_plugin_types_error_t fault;

// Fill an error, and answer with false, so that a function can end with `return fail(...)`. A text that is not of this
// plugin goes into a message by `shown`.
bool fail(fault *into, code code, const char *format, ...) __attribute__((format(printf, 3, 4)));

// The same for properties that can never work. `path` is a JSON Pointer (RFC 6901) to what is wrong, "" for the whole.
bool invalid(fault *into, text path, const char *format, ...) __attribute__((format(printf, 3, 4)));

// The path of a member: `/` and its name, escaped.
text path_of(text member);

// A text as it can be printed anywhere: what is not plain ASCII is `?`, and what is long is cut.
const char *shown(text it);

// What `printf` would print.
char *format(const char *format, ...) __attribute__((format(printf, 1, 2)));

// A text of the host's.
#define FROM_HOST(it) ((text){(const char *)(it).ptr, (it).len})

// A copy for the host, which frees it.
contract_string to_host(text it);

#endif
