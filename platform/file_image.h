/* SPDX-License-Identifier: MIT */
/*
 * file_image.h - what stands at a path, as a whole: a file with its mode and
 * owner, a symbolic link, or nothing.  Read, and put back as it was.
 */
#ifndef APPTUNNEL_FILE_IMAGE_H
#define APPTUNNEL_FILE_IMAGE_H

#include <stddef.h>

#define IMAGE_MAX	(256u << 10)	/* bytes of a file */

struct image {
	enum { IMAGE_NONE, IMAGE_LINK, IMAGE_FILE } kind;
	unsigned int mode, uid, gid;
	size_t len;
	char *data;		/* a link's is its target; NUL-terminated; owned */
};

/* image_free() - what @i owns */
void image_free(struct image *i);

/*
 * image_read() - what stands at @path
 * Return: 0; -EINVAL: neither file nor link; -EFBIG; or another negative errno
 */
int image_read(const char *path, struct image *out);

/*
 * image_write() - put @i at @path by rename, or in place where that cannot be
 * (a bind mount); on the disk when this returns
 * @stem: part of the name beside @path under which it is made
 */
int image_write(const char *path, const char *stem, const struct image *i);

/* image_forget_half() - what a crash left between making a file and renaming it */
void image_forget_half(const char *path, const char *stem);

/* image_read_fd() - all that @fd holds, NUL-terminated (owned by the caller).
 * 0, -EFBIG: more than IMAGE_MAX, or another negative errno */
int image_read_fd(int fd, char **data, size_t *len);

/* image_write_fd() - @len bytes from the beginning of @fd.  0 or a negative errno */
int image_write_fd(int fd, const char *data, size_t len);

#endif
