#include "json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// A reader that calls itself must not be led deeper than its stack is.
enum { MAX_DEPTH = 64 };

void *reallocate(void *old, size_t count, size_t size) {
    void *it = size != 0 && count > SIZE_MAX / size ? NULL : realloc(old, count * size ? count * size : 1);
    if (it == NULL) {
        fputs("there is no more memory; the operator can grant more with \"Limits\": {\"Memory\": ...}\n", stderr);
        abort();
    }
    return it;
}

void *allocate(size_t count, size_t size) {
    void *it = reallocate(NULL, count, size);
    memset(it, 0, count * size);
    return it;
}

text text_from(const char *c_string) { return (text){c_string, strlen(c_string)}; }

bool text_is(text it, const char *c_string) {
    return it.len == strlen(c_string) && (it.len == 0 || memcmp(it.ptr, c_string, it.len) == 0);
}

int text_compare(const void *a, const void *b) {
    const text *left = a, *right = b;
    size_t common = left->len < right->len ? left->len : right->len;
    int order = common == 0 ? 0 : memcmp(left->ptr, right->ptr, common);
    return order != 0 ? order : (left->len > right->len) - (left->len < right->len);
}

size_t utf8_length(const char *at, size_t left) {
    const uint8_t *byte = (const uint8_t *)at;
    // RFC 3629, section 4: the second byte tells overlong forms, surrogates and what lies above U+10FFFF.
    uint8_t low = 0x80, high = 0xbf;
    size_t length;
    if (left == 0) return 0;
    if (byte[0] < 0x80) return 1;
    if (byte[0] >= 0xc2 && byte[0] <= 0xdf) length = 2;
    else if (byte[0] >= 0xe0 && byte[0] <= 0xef) length = 3;
    else if (byte[0] >= 0xf0 && byte[0] <= 0xf4) length = 4;
    else return 0;
    if (byte[0] == 0xe0) low = 0xa0;
    if (byte[0] == 0xed) high = 0x9f;
    if (byte[0] == 0xf0) low = 0x90;
    if (byte[0] == 0xf4) high = 0x8f;
    if (left < length || byte[1] < low || byte[1] > high) return 0;
    for (size_t i = 2; i < length; i++)
        if (byte[i] < 0x80 || byte[i] > 0xbf) return 0;
    return length;
}

// ---- Writing ----

void put(buffer *out, text it) {
    if (it.len > out->size - out->len) {
        size_t size = out->size < 128 ? 256 : out->size * 2;
        if (size - out->len < it.len) size = out->len + it.len;
        out->ptr = reallocate(out->ptr, size, 1);
        out->size = size;
    }
    if (it.len > 0) memcpy(out->ptr + out->len, it.ptr, it.len);
    out->len += it.len;
}

void put_string(buffer *out, text it) {
    put(out, TEXT("\""));
    for (size_t i = 0; i < it.len; i++) {
        unsigned char byte = (unsigned char)it.ptr[i];
        if (byte == '"' || byte == '\\') {
            put(out, TEXT("\\"));
            put(out, (text){it.ptr + i, 1});
        } else if (byte < 0x20) {
            char escape[8];
            snprintf(escape, sizeof escape, "\\u%04x", byte);
            put(out, text_from(escape));
        } else {
            put(out, (text){it.ptr + i, 1});
        }
    }
    put(out, TEXT("\""));
}

void put_number(buffer *out, uint64_t it) {
    char digits[24];
    snprintf(digits, sizeof digits, "%" PRIu64, it);
    put(out, text_from(digits));
}

void put_json(buffer *out, const json *it) {
    static const char *const words[] = {"null", "false", "true"};
    bool object = it->kind == JSON_OBJECT;
    if (it->kind <= JSON_TRUE) put(out, text_from(words[it->kind]));
    else if (it->kind == JSON_NUMBER) put(out, it->value);
    else if (it->kind == JSON_STRING) put_string(out, it->value);
    if (it->kind < JSON_ARRAY) return;
    put(out, object ? TEXT("{") : TEXT("["));
    for (size_t i = 0; i < it->count; i++) {
        if (i > 0) put(out, TEXT(","));
        if (object) {
            put_string(out, it->items[i].key);
            put(out, TEXT(":"));
        }
        put_json(out, &it->items[i]);
    }
    put(out, object ? TEXT("}") : TEXT("]"));
}

text put_end(const buffer *out) { return (text){out->ptr, out->len}; }

// ---- Reading ----

typedef struct {
    const char *at, *end;
    const char *wrong;
} reader;

static bool wrong(reader *in, const char *what) {
    if (in->wrong == NULL) in->wrong = what;
    return false;
}

static void skip_blanks(reader *in) {
    while (in->at < in->end && (*in->at == ' ' || *in->at == '\t' || *in->at == '\n' || *in->at == '\r')) in->at++;
}

static bool take(reader *in, char byte) {
    if (in->at == in->end || *in->at != byte) return false;
    in->at++;
    return true;
}

static bool take_word(reader *in, text word) {
    if ((size_t)(in->end - in->at) < word.len || memcmp(in->at, word.ptr, word.len) != 0) return false;
    in->at += word.len;
    return true;
}

static bool take_digits(reader *in) {
    const char *from = in->at;
    while (in->at < in->end && *in->at >= '0' && *in->at <= '9') in->at++;
    return in->at > from;
}

static bool read_number(reader *in, json *into) {
    const char *from = in->at;
    take(in, '-');
    if (!take(in, '0') && !take_digits(in)) return wrong(in, "it holds a character that begins no value");
    if (take(in, '.') && !take_digits(in)) return wrong(in, "a number has no digit after its point");
    if (take(in, 'e') || take(in, 'E')) {
        if (!take(in, '+')) take(in, '-');
        if (!take_digits(in)) return wrong(in, "a number has no digit in its exponent");
    }
    into->kind = JSON_NUMBER;
    into->value = (text){from, (size_t)(in->at - from)};
    return true;
}

static bool read_hex(reader *in, uint32_t *into) {
    *into = 0;
    for (int i = 0; i < 4; i++, in->at++) {
        if (in->at == in->end) return wrong(in, "a string has no end");
        char it = *in->at;
        uint32_t digit;
        if (it >= '0' && it <= '9') digit = (uint32_t)(it - '0');
        else if (it >= 'a' && it <= 'f') digit = (uint32_t)(it - 'a') + 10;
        else if (it >= 'A' && it <= 'F') digit = (uint32_t)(it - 'A') + 10;
        else return wrong(in, "\\u is not followed by four hexadecimal digits");
        *into = *into * 16 + digit;
    }
    return true;
}

static void put_character(buffer *out, uint32_t it) {
    char bytes[4];
    size_t length = 0;
    if (it < 0x80) {
        bytes[length++] = (char)it;
    } else {
        if (it < 0x800) {
            bytes[length++] = (char)(0xc0 | it >> 6);
        } else {
            if (it < 0x10000) {
                bytes[length++] = (char)(0xe0 | it >> 12);
            } else {
                bytes[length++] = (char)(0xf0 | it >> 18);
                bytes[length++] = (char)(0x80 | (it >> 12 & 0x3f));
            }
            bytes[length++] = (char)(0x80 | (it >> 6 & 0x3f));
        }
        bytes[length++] = (char)(0x80 | (it & 0x3f));
    }
    put(out, (text){bytes, length});
}

static bool read_escape(reader *in, buffer *out) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (in->at == in->end) return wrong(in, "a string has no end");
    char it = *in->at++;
    const char *found = it == '\0' ? NULL : strchr(from, it);
    if (found != NULL) {
        put(out, (text){to + (found - from), 1});
        return true;
    }
    if (it != 'u') return wrong(in, "a string has an escape that there is not");
    uint32_t character, low;
    if (!read_hex(in, &character)) return false;
    if (character >= 0xd800 && character <= 0xdbff) {
        if (!take_word(in, TEXT("\\u"))) return wrong(in, "a string has half of a surrogate pair");
        if (!read_hex(in, &low)) return false;
        if (low < 0xdc00 || low > 0xdfff) return wrong(in, "a string has half of a surrogate pair");
        character = 0x10000 + ((character - 0xd800) << 10) + (low - 0xdc00);
    } else if (character >= 0xdc00 && character <= 0xdfff) {
        return wrong(in, "a string has half of a surrogate pair");
    }
    put_character(out, character);
    return true;
}

static bool read_string(reader *in, text *into) {
    buffer out = {0};
    if (!take(in, '"')) return wrong(in, "a member has no name in quotes");
    for (;;) {
        if (in->at == in->end) return wrong(in, "a string has no end");
        if (take(in, '"')) break;
        if (take(in, '\\')) {
            if (!read_escape(in, &out)) return false;
            continue;
        }
        if ((unsigned char)*in->at < 0x20) return wrong(in, "a string has a control character that is not escaped");
        size_t length = utf8_length(in->at, (size_t)(in->end - in->at));
        if (length == 0) return wrong(in, "a string is not UTF-8");
        put(&out, (text){in->at, length});
        in->at += length;
    }
    *into = put_end(&out);
    return true;
}

static int by_key(const void *a, const void *b) {
    return text_compare(&((const json *)a)->key, &((const json *)b)->key);
}

static bool read_value(reader *in, json *into, int depth);

// What stands between brackets, the first of which is read.
static bool read_items(reader *in, json *into, char closing, int depth) {
    size_t size = 0;
    if (depth == MAX_DEPTH) return wrong(in, "it is nested too deep");
    skip_blanks(in);
    if (take(in, closing)) return true;
    do {
        if (into->count == size) {
            size = size == 0 ? 4 : size * 2;
            into->items = reallocate(into->items, size, sizeof *into->items);
        }
        json *item = &into->items[into->count];
        *item = (json){0};
        skip_blanks(in);
        if (closing == '}') {
            if (!read_string(in, &item->key)) return false;
            skip_blanks(in);
            if (!take(in, ':')) return wrong(in, "a member has no `:` after its name");
        }
        if (!read_value(in, item, depth + 1)) return false;
        into->count++;
        skip_blanks(in);
    } while (take(in, ','));
    if (!take(in, closing)) return wrong(in, "there is no `,` or closing bracket after a value");
    if (closing == '}') {
        qsort(into->items, into->count, sizeof *into->items, by_key);
        for (size_t i = 1; i < into->count; i++)
            if (by_key(&into->items[i - 1], &into->items[i]) == 0) return wrong(in, "a member is there twice");
    }
    return true;
}

static bool read_value(reader *in, json *into, int depth) {
    skip_blanks(in);
    if (in->at == in->end) return wrong(in, "it ends where a value should be");
    if (*in->at == '"') {
        into->kind = JSON_STRING;
        return read_string(in, &into->value);
    }
    if (take(in, '{')) {
        into->kind = JSON_OBJECT;
        return read_items(in, into, '}', depth);
    }
    if (take(in, '[')) {
        into->kind = JSON_ARRAY;
        return read_items(in, into, ']', depth);
    }
    if (take_word(in, TEXT("null"))) into->kind = JSON_NULL;
    else if (take_word(in, TEXT("true"))) into->kind = JSON_TRUE;
    else if (take_word(in, TEXT("false"))) into->kind = JSON_FALSE;
    else return read_number(in, into);
    return true;
}

const char *json_read(text source, json *into) {
    reader in = {.at = source.ptr, .end = source.ptr + source.len};
    *into = (json){0};
    if (!read_value(&in, into, 0)) return in.wrong;
    skip_blanks(&in);
    return in.at == in.end ? NULL : "something follows the value";
}

const json *json_member(const json *object, const char *key) {
    if (object == NULL || object->kind != JSON_OBJECT || object->count == 0) return NULL;
    json wanted = {.key = text_from(key)};
    return bsearch(&wanted, object->items, object->count, sizeof *object->items, by_key);
}

bool json_equal(const json *a, const json *b) {
    if (a->kind != b->kind || a->count != b->count || text_compare(&a->value, &b->value) != 0) return false;
    for (size_t i = 0; i < a->count; i++)
        if (text_compare(&a->items[i].key, &b->items[i].key) != 0 || !json_equal(&a->items[i], &b->items[i]))
            return false;
    return true;
}
