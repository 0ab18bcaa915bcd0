/* SPDX-License-Identifier: MIT */
/*
 * tls_peer.h - certificates made on the spot and a small TLS server in the
 * same thread, for the tests of connections.  The server is stepped by hand.
 */
#ifndef APPTUNNEL_TEST_TLS_PEER_H
#define APPTUNNEL_TEST_TLS_PEER_H

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <check.h>

/* ---- certificates --------------------------------------------------------- */

struct pair {
	X509 *cert;
	EVP_PKEY *key;
};

static void pair_free(struct pair *p)
{
	X509_free(p->cert);
	EVP_PKEY_free(p->key);
	*p = (struct pair){ 0 };
}

/* @san: "DNS:..." or "IP:..." or NULL; @issuer NULL: self-signed; days count from now */
static struct pair pair_make(const char *name, const char *san, const struct pair *issuer,
			     int from_days, int to_days, int version)
{
	static long serial = 1000;
	struct pair p = { X509_new(), EVP_EC_gen("P-256") };
	X509_NAME *subject = X509_get_subject_name(p.cert);
	X509_EXTENSION *ext;

	X509_set_version(p.cert, version - 1);
	ASN1_INTEGER_set(X509_get_serialNumber(p.cert), serial++);
	X509_gmtime_adj(X509_getm_notBefore(p.cert), from_days * 86400L);
	X509_gmtime_adj(X509_getm_notAfter(p.cert), to_days * 86400L);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const uint8_t *)name, -1, -1, 0);
	X509_set_issuer_name(p.cert, issuer ? X509_get_subject_name(issuer->cert) : subject);
	X509_set_pubkey(p.cert, p.key);
	if (san) {
		ext = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, san);
		X509_add_ext(p.cert, ext, -1);
		X509_EXTENSION_free(ext);
	} else if (version == 3 && !issuer) {
		ext = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "critical,CA:TRUE");
		X509_add_ext(p.cert, ext, -1);
		X509_EXTENSION_free(ext);
	}
	X509_sign(p.cert, issuer ? issuer->key : p.key, EVP_sha256());
	return p;
}

static int memory_file(BIO *bio)
{
	char *data;
	long len = BIO_get_mem_data(bio, &data);
	int fd = memfd_create("pem", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, data, (size_t)len), len);
	BIO_free(bio);
	return fd;
}

static int cert_file(X509 *a, X509 *b)
{
	BIO *bio = BIO_new(BIO_s_mem());

	PEM_write_bio_X509(bio, a);
	if (b)
		PEM_write_bio_X509(bio, b);
	return memory_file(bio);
}

static int key_file(EVP_PKEY *key, const char *passphrase)
{
	BIO *bio = BIO_new(BIO_s_mem());

	PEM_write_bio_PKCS8PrivateKey(bio, key, passphrase ? EVP_aes_128_cbc() : NULL,
				      passphrase, passphrase ? (int)strlen(passphrase) : 0,
				      NULL, NULL);
	return memory_file(bio);
}

/* ---- the server -------------------------------------------------------------- */

struct peer {
	SSL_CTX *ctx;
	SSL *ssl;
	int fd;
	bool shaken;			/* the handshake is done here */
	bool failed;
	size_t got;			/* bytes of application data */
	char head[4096];		/* the first of them */
	const char *answer;		/* sent once the request is there; NULL: silence */
	size_t answer_len;
	bool answered;
};

__attribute__((unused))	/* not every test has its list of protocols */
static int choose_h2(SSL *ssl, const uint8_t **out, uint8_t *len, const uint8_t *in,
		     unsigned int in_len, void *arg)
{
	(void)ssl;
	(void)in;
	(void)in_len;
	(void)arg;
	*out = (const uint8_t *)"h2";
	*len = 2;
	return SSL_TLSEXT_ERR_OK;
}

/* @devices: issuer or self-signed certificate that a client must have; NULL: any */
static void peer_init(struct peer *p, const struct pair *identity, X509 *devices)
{
	*p = (struct peer){ .fd = -1 };
	p->ctx = SSL_CTX_new(TLS_server_method());
	SSL_CTX_use_certificate(p->ctx, identity->cert);
	SSL_CTX_use_PrivateKey(p->ctx, identity->key);
	SSL_CTX_set_session_id_context(p->ctx, (const uint8_t *)"test", 4);
	SSL_CTX_set_mode(p->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
			 SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	if (devices) {
		X509_STORE_add_cert(SSL_CTX_get_cert_store(p->ctx), devices);
		SSL_CTX_set_verify(p->ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	}
}

static void peer_hang_up(struct peer *p)
{
	if (p->ssl)
		SSL_set_shutdown(p->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(p->ssl);
	if (p->fd >= 0)
		close(p->fd);
	p->ssl = NULL;
	p->fd = -1;
	p->shaken = p->failed = p->answered = false;
	p->got = 0;
	memset(p->head, 0, sizeof(p->head));
}

static void peer_free(struct peer *p)
{
	peer_hang_up(p);
	SSL_CTX_free(p->ctx);
}

static void peer_accepted(struct peer *p, int fd)
{
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	p->fd = fd;
	p->ssl = SSL_new(p->ctx);
	SSL_set_fd(p->ssl, fd);
	SSL_set_accept_state(p->ssl);
}

/* Handshake and request as far as they go. */
static void peer_step(struct peer *p)
{
	char buf[16384];
	int n;

	ERR_clear_error();
	if (!p->ssl || p->failed)
		return;
	if (!p->shaken) {
		n = SSL_do_handshake(p->ssl);
		if (n != 1) {
			n = SSL_get_error(p->ssl, n);
			p->failed = n != SSL_ERROR_WANT_READ && n != SSL_ERROR_WANT_WRITE;
			return;
		}
		p->shaken = true;
	}
	while (!p->answered && (n = SSL_read(p->ssl, buf, sizeof(buf))) > 0) {
		size_t room = sizeof(p->head) - 1 - (p->got < sizeof(p->head) - 1 ?
						     p->got : sizeof(p->head) - 1);

		memcpy(p->head + p->got, buf, (size_t)n < room ? (size_t)n : room);
		p->got += (size_t)n;
		if (p->answer && strstr(p->head, "}")) {
			SSL_write(p->ssl, p->answer, (int)p->answer_len);
			p->answered = true;
		}
	}
}

#endif
