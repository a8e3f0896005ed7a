#include "fault.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static char *formatted(const char *format, va_list arguments) {
    va_list again;
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    char *it = allocate(length < 0 ? 1 : (size_t)length + 1, 1);
    if (length > 0) vsnprintf(it, (size_t)length + 1, format, again);
    va_end(again);
    return it;
}

char *format(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    char *it = formatted(format, arguments);
    va_end(arguments);
    return it;
}

bool fail(fault *into, code code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    *into = (fault){.code = (uint8_t)code, .message = to_host(text_from(formatted(format, arguments)))};
    va_end(arguments);
    return false;
}

bool invalid(fault *into, text path, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    *into = (fault){.code = INVALID_ARGUMENT, .message = to_host(text_from(formatted(format, arguments)))};
    va_end(arguments);
    into->path.is_some = true;
    into->path.val = to_host(path);
    return false;
}

text path_of(text member) {
    buffer out = {0};
    put(&out, TEXT("/"));
    for (size_t i = 0; i < member.len; i++) {
        if (member.ptr[i] == '~') put(&out, TEXT("~0"));
        else if (member.ptr[i] == '/') put(&out, TEXT("~1"));
        else put(&out, (text){member.ptr + i, 1});
    }
    return put_end(&out);
}

const char *shown(text it) {
    enum { MAX = 128 };
    size_t length = it.len < MAX ? it.len : MAX;
    char *copy = allocate(length + 4, 1);
    for (size_t i = 0; i < length; i++) copy[i] = it.ptr[i] >= 0x20 && it.ptr[i] < 0x7f ? it.ptr[i] : '?';
    if (it.len > MAX) memcpy(copy + length, "...", 3);
    return copy;
}

contract_string to_host(text it) {
    contract_string copy = {.ptr = allocate(it.len, 1), .len = it.len};
    if (it.len > 0) memcpy(copy.ptr, it.ptr, it.len);
    return copy;
}
