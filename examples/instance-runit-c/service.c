#include "service.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "files.h"

// So many ends within a minute of the start, one after the other, are no bad luck: see runit/finish.
enum { MAX_CRASHES = 5 };

// ---- The properties ----

static bool is_plain(const json *it) {
    return it->kind == JSON_STRING && (it->value.len == 0 || memchr(it->value.ptr, '\0', it->value.len) == NULL);
}

// What a shell takes for the name of a variable.
static bool is_variable(text it) {
    for (size_t i = 0; i < it.len; i++) {
        char byte = it.ptr[i];
        bool letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || byte == '_';
        if (!letter && (i == 0 || byte < '0' || byte > '9')) return false;
    }
    return it.len > 0;
}

static bool read_command(const json *it, service *into, fault *wrong) {
    if (it->kind != JSON_ARRAY || it->count == 0)
        return invalid(wrong, TEXT("/Command"), "Command is a list of texts: the program, and what it is told");
    for (size_t i = 0; i < it->count; i++) {
        if (is_plain(&it->items[i]) && (i > 0 || it->items[i].value.len > 0)) continue;
        char *path = format("/Command/%zu", i);
        return invalid(wrong, text_from(path), "this word of Command is no text, or has a NUL, or is an empty program");
    }
    into->command = it;
    return true;
}

static bool read_env(const json *it, service *into, fault *wrong) {
    if (it->kind != JSON_OBJECT) return invalid(wrong, TEXT("/Env"), "Env is an object of texts");
    for (size_t i = 0; i < it->count; i++) {
        text key = it->items[i].key;
        if (is_variable(key) && is_plain(&it->items[i])) continue;
        char *path = format("/Env%.*s", (int)path_of(key).len, path_of(key).ptr);
        return invalid(wrong, text_from(path), "`%s` cannot be set: letters, digits and `_`, to a text without NUL", shown(key));
    }
    into->env = it;
    return true;
}

bool service_read(text properties, service *into, fault *wrong) {
    *into = (service){.log = true};
    json *it = allocate(1, sizeof *it);
    const char *problem = json_read(properties, it);
    if (problem != NULL) return invalid(wrong, TEXT(""), "the properties are not JSON: %s", problem);
    if (it->kind == JSON_NULL) return true;
    if (it->kind != JSON_OBJECT) return invalid(wrong, TEXT(""), "the properties are an object");
    for (size_t i = 0; i < it->count; i++) {
        const json *member = &it->items[i];
        if (text_is(member->key, "Command")) {
            if (!read_command(member, into, wrong)) return false;
        } else if (text_is(member->key, "Env")) {
            if (!read_env(member, into, wrong)) return false;
        } else if (text_is(member->key, "Log")) {
            if (member->kind != JSON_TRUE && member->kind != JSON_FALSE)
                return invalid(wrong, TEXT("/Log"), "Log is true or false");
            into->log = member->kind == JSON_TRUE;
        } else if (text_is(member->key, "Restart")) {
            into->once = text_is(member->value, "never");
            if (member->kind != JSON_STRING || (!into->once && !text_is(member->value, "always")))
                return invalid(wrong, TEXT("/Restart"), "Restart is \"always\" or \"never\"");
        } else {
            return invalid(wrong, path_of(member->key),
                           "there is no such property; there are Command, Env, Log and Restart");
        }
    }
    return true;
}

// ---- The files ----

// A word that a shell takes as it is.
static void put_word(buffer *out, text it) {
    put(out, TEXT("'"));
    for (size_t i = 0; i < it.len; i++)
        put(out, it.ptr[i] == '\'' ? TEXT("'\\''") : (text){it.ptr + i, 1});
    put(out, TEXT("'"));
}

static void put_variable(buffer *out, text name, text value) {
    put(out, TEXT("export "));
    put(out, name);
    put(out, TEXT("="));
    put_word(out, value);
    put(out, TEXT("\n"));
}

static text script_of(text name, const contract_spec *spec, const service *service) {
    buffer out = {0};
    put(&out, TEXT("# Written by homeostat's plugin instance-runit; a changed spec makes another instance.\n"));
    put_variable(&out, TEXT("HOMEOSTAT_NAME"), name);
    if (spec->logical_id.is_some) put_variable(&out, TEXT("HOMEOSTAT_LOGICAL_ID"), FROM_HOST(spec->logical_id.val));
    for (size_t i = 0; service->env != NULL && i < service->env->count; i++)
        put_variable(&out, service->env->items[i].key, service->env->items[i].value);
    if (service->command == NULL) {
        put(&out, TEXT("exec /bin/sh ./init\n"));
        return put_end(&out);
    }
    // `Init` runs once in the life of an instance, and until it succeeded.
    put(&out, TEXT("if [ -e init ] && ! [ -e booted ]; then\n    /bin/sh ./init || exit\n    : >booted\nfi\nexec"));
    for (size_t i = 0; i < service->command->count; i++) {
        put(&out, TEXT(" "));
        put_word(&out, service->command->items[i].value);
    }
    put(&out, TEXT("\n"));
    return put_end(&out);
}

// A link that leads up so many folders to a script of the operator's.
static int link_script(const char *folder, const char *name, const char *script) {
    return symlink(script, format("%s/%s", folder, name)) == 0 ? 0 : errno;
}

int service_write(const char *folder, text name, const contract_spec *spec, const service *service) {
    int why = write_file(format("%s/service", folder), script_of(name, spec, service));
    if (why == 0 && spec->init.len > 0) why = write_file(format("%s/init", folder), FROM_HOST(spec->init));
    if (why == 0 && service->once) why = write_file(format("%s/once", folder), TEXT(""));
    if (why == 0) why = link_script(folder, "run", "../.homeostat/run");
    if (why == 0) why = link_script(folder, "finish", "../.homeostat/finish");
    if (why != 0 || !service->log) return why;
    char *log = format("%s/log", folder);
    why = make_folder(log);
    return why != 0 ? why : link_script(log, "run", "../../.homeostat/log");
}

// ---- The state ----

// What runsv writes to `supervise/status` (runit's runsv.c, update_status): 12 bytes of time, the process in 4 bytes, the
// lowest first, whether it is paused, what is wanted, whether SIGTERM was sent, and the state.
enum { STATUS_LENGTH = 20, STATUS_PID = 12, STATUS_WANTED = 17, STATUS_STATE = 19 };
enum { DOWN = 0, RUNNING = 1, FINISHING = 2 };

static bool read_status(const char *folder, text *into) {
    return read_file(format("%s/supervise/status", folder), into) == 0 && into->len == STATUS_LENGTH;
}

bool service_runs(const char *folder) {
    text status;
    return read_status(folder, &status) && status.ptr[STATUS_STATE] != DOWN;
}

double service_age(const char *folder) {
    struct stat it;
    struct timespec now;
    if (lstat(format("%s/down", folder), &it) != 0 || clock_gettime(CLOCK_REALTIME, &now) != 0) return 0;
    return difftime(now.tv_sec, it.st_mtime);
}

// How the service ended last, as runit/finish left word of it: exit status or -1, signal, and how often it ended soon.
typedef struct {
    bool known;
    long status, signal, crashes;
} ending;

static ending read_ending(const char *folder) {
    text content;
    char *end;
    if (read_file(format("%s/exit", folder), &content) != 0) return (ending){0};
    ending it = {.known = true};
    it.status = strtol(format("%.*s", (int)content.len, content.ptr), &end, 10);
    it.signal = strtol(end, &end, 10);
    it.crashes = strtol(end, &end, 10);
    return it;
}

static const char *how(ending it) {
    return it.status >= 0 ? format("it ended with status %ld", it.status) : format("it was ended by signal %ld", it.signal);
}

static void is(contract_instance *into, uint8_t state, const char *message) {
    into->state = state;
    into->message = to_host(text_from(message));
}

void service_look(const char *folder, contract_instance *into) {
    text status;
    ending ended = read_ending(folder);
    if (!read_status(folder, &status)) {
        is(into, HOMEOSTAT_PLUGIN_TYPES_INSTANCE_STATE_PENDING, "runsvdir has not started it yet");
    } else if (status.ptr[STATUS_STATE] == RUNNING) {
        unsigned long process = 0;
        for (int i = 3; i >= 0; i--) process = process << 8 | (unsigned char)status.ptr[STATUS_PID + i];
        is(into, HOMEOSTAT_PLUGIN_TYPES_INSTANCE_STATE_RUNNING, format("process %lu", process));
    } else if (ended.known && exists(format("%s/once", folder))) {
        bool well = ended.status == 0;
        is(into, well ? HOMEOSTAT_PLUGIN_TYPES_INSTANCE_STATE_STOPPED : HOMEOSTAT_PLUGIN_TYPES_INSTANCE_STATE_FAILED, how(ended));
    } else if (ended.crashes >= MAX_CRASHES) {
        is(into, HOMEOSTAT_PLUGIN_TYPES_INSTANCE_STATE_FAILED,
           format("%s, the %ldth time within a minute of its start", how(ended), ended.crashes));
    } else if (status.ptr[STATUS_WANTED] == 'd') {
        is(into, HOMEOSTAT_PLUGIN_TYPES_INSTANCE_STATE_STOPPED, "it was told to stop, by `sv down`");
    } else {
        is(into, HOMEOSTAT_PLUGIN_TYPES_INSTANCE_STATE_PENDING,
           ended.known ? format("%s, and runsv starts it again", how(ended)) : "runsv is about to start it");
    }
}
