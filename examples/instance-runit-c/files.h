// Files and folders. What can fail answers with 0, or with the `errno` of what went wrong.
#ifndef FILES_H
#define FILES_H

#include <stdbool.h>

#include "json.h"

bool exists(const char *path);
bool is_folder(const char *path);
int make_folder(const char *path);
int move(const char *from, const char *to);
int link_to(const char *from, const char *to);

// A new file, which is on the disk when this returns: a power failure leaves no name without its content.
int write_file(const char *path, text content);

// A whole file, of 8 MiB at most.
int read_file(const char *path, text *content);

// The names in a folder, in order.
int read_folder(const char *path, char ***names, size_t *count);

// A file, or a folder and all that is in it, as far as it can be removed.
void remove_tree(const char *path);

// A number that no other call has.
unsigned long long unique(void);

#endif
