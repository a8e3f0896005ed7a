// A service directory as runit has it (runsv(8)), but for what a sandboxed plugin cannot make: a file that can be executed.
//
// `run`, `finish` and `log/run` are links to scripts in `.homeostat`, which the operator puts there once. They start
// `service`, which is written here, by a shell.
#ifndef SERVICE_H
#define SERVICE_H

#include "contract.h"
#include "fault.h"
#include "json.h"

// What the properties say.
typedef struct {
    const json *command; // an array of texts; NULL where `Init` is the service
    const json *env;     // an object of texts, or NULL
    bool once;           // what ended is not started again
    bool log;            // its output goes to svlogd
} service;

// Read the properties, where they are as they should be: what the schema says, and what it cannot say.
bool service_read(text properties, service *into, fault *wrong);

// Write the files of a service into a new folder. 0, or the `errno` of what went wrong.
int service_write(const char *folder, text name, const contract_spec *spec, const service *service);

// State and message of an instance, as runsv and `finish` left word of it.
void service_look(const char *folder, contract_instance *into);

// Whether a process of the service may be there.
bool service_runs(const char *folder);

// The seconds since the service was destroyed.
double service_age(const char *folder);

#endif
