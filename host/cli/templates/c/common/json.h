// JSON as RFC 8259 has it: a strict reader into a tree, and a writer.
//
// Texts have a length and may hold NUL. They are valid UTF-8, which the host insists on: a string that is not makes the
// call trap. Nothing here is freed: each call of a plugin gets a fresh instance of the component, and its memory goes
// with it.
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    const char *ptr;
    size_t len;
} text;

// A text of a string literal.
#define TEXT(literal) ((text){(literal), sizeof(literal) - 1})

text text_from(const char *c_string);
bool text_is(text it, const char *c_string);
int text_compare(const void *a, const void *b);

typedef enum { JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT } json_kind;

typedef struct json {
    json_kind kind;
    text key;           // of a member
    text value;         // of a string, unescaped; of a number, as it was written
    struct json *items; // of an array, in order; of an object, by key
    size_t count;
} json;

// Read a whole text. NULL where all is well, or else what is wrong with it.
const char *json_read(text source, json *into);

// A member of an object, or NULL.
const json *json_member(const json *object, const char *key);

// Whether two values mean the same. Numbers are compared as they were written.
bool json_equal(const json *a, const json *b);

// A text that grows.
typedef struct {
    char *ptr;
    size_t len, size;
} buffer;

void put(buffer *out, text it);
void put_string(buffer *out, text it); // with quotes and escapes
void put_number(buffer *out, uint64_t it);
void put_json(buffer *out, const json *it);
text put_end(const buffer *out);

// How many bytes the UTF-8 sequence that begins here has; 0 where it is not valid.
size_t utf8_length(const char *at, size_t left);

// Memory, or the end of the call: the host has granted no more.
void *allocate(size_t count, size_t size);
void *reallocate(void *old, size_t count, size_t size);

#endif
