# AppTunnel for Linux.  `make help` lists the targets.
#
#   V=1     show commands        OUT=DIR  where objects go (build)
#   SAN=1   AddressSanitizer and UndefinedBehaviorSanitizer (make asan sets it)

PREFIX     ?= /usr/local
DESTDIR    ?=
SYSCONFDIR ?= /etc
LIBEXECDIR ?= $(PREFIX)/lib/apptunnel
MANDIR     ?= $(PREFIX)/share/man
VERSION    := 0.1.0
CC         ?= gcc

ifdef SAN
OUT ?= build/asan
else
OUT ?= build
endif
Q := $(if $(V),,@)
say = @printf '  %-6s %s\n'

# ---- flags -----------------------------------------------------------------

WARN   := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
          -Wpointer-arith -Wwrite-strings -Wvla -Wformat=2 -Wformat-truncation=0 \
          $(if $(CI),-Werror) $(if $(WERROR),-Werror)
ifdef SAN
OPT    := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined \
          -fno-omit-frame-pointer
HARDEN := -fstack-protector-strong -fPIE
LDHARD := -pie -fsanitize=address,undefined
else
OPT    := -O2 -g
HARDEN := -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fstack-clash-protection \
          -fcf-protection -fPIE
LDHARD := -pie -Wl,-z,relro,-z,now,-z,noexecstack
endif
CFLAGS_ALL  = -std=gnu11 $(OPT) $(WARN) $(HARDEN) -I. -MMD -MP \
              -DAPPTUNNEL_VERSION='"$(VERSION)"' \
              -DAPPTUNNEL_LIBEXECDIR='"$(LIBEXECDIR)"' $(CFLAGS)
LDFLAGS_ALL = $(LDHARD) $(LDFLAGS)

# ---- lwIP: Debian's source package, unmodified, fetched by scripts/setup ------

LWIP     := build/lwip/src
LWIP_SRC := $(addprefix $(LWIP)/core/,def.c inet_chksum.c init.c ip.c mem.c memp.c \
            netif.c pbuf.c tcp.c tcp_in.c tcp_out.c timeouts.c \
            ipv4/ip4.c ipv4/ip4_addr.c ipv4/icmp.c ipv6/ip6.c ipv6/ip6_addr.c ipv6/icmp6.c \
            ipv6/inet6.c ipv6/nd6.c)
LWIP_INC := -Inetstack -I$(LWIP)/include

# ---- sources: a folder is a part; the arrows between them are checked by lint --

PROFILES_SRC := $(filter-out profiles/parser_%.c,$(wildcard profiles/*.c))
ATP_SRC      := $(wildcard client/atp/*.c)
NETSTACK_SRC := $(wildcard netstack/*.c)
# what engine and daemon share of platform/
LINK_SRC     := platform/helper_msg.c platform/sock.c
DAEMON_SRC   := $(filter-out $(LINK_SRC),$(wildcard platform/*.c))
CTL_SRC      := $(wildcard client/ctl*.c)
READY_SRC    := client/ready_main.c
ENGINE_SRC   := $(filter-out $(CTL_SRC) $(READY_SRC) client/policy.c,$(wildcard client/*.c))
POLICY_SRC   := client/policy.c
SENTRY_SRC   := $(wildcard tests/sentry/*.c)

obj = $(patsubst %.c,$(OUT)/obj/%.o,$(1))
PROFILES_A := $(OUT)/profiles.a
ATP_A      := $(OUT)/atp.a
NETSTACK_A := $(OUT)/netstack.a
LINK_A     := $(OUT)/link.a
POLICY_A   := $(OUT)/policy.a

# The daemon holds libnftables (GPL-2), everything with OpenSSL stays apart from it.
DAEMON_LIBS := -lnl-route-3 -lnl-3 -lnftables -lcap-ng
ENGINE_LIBS := -lssl -lcrypto -lcares -ljansson -lseccomp
CTL_LIBS    := -liniparser -ljansson -lssl -lcrypto -lplist-2.0 -lseccomp
PARSER_LIBS := -liniparser -lcrypto -lseccomp
READY_LIBS  := -lcares
SENTRY_LIBS := -lssl -lcrypto -ljansson -liniparser -lcares

BIN := $(OUT)/apptunneld $(OUT)/apptunnel-engine $(OUT)/apptunnel-parser $(OUT)/apptunnel-ready \
       $(OUT)/apptunnel $(OUT)/sentry

.PHONY: all help setup clean install asan lint check check-unit check-net check-long \
        demo bench fuzz man unit-bins
all: $(BIN) ## build everything (default)

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

setup: ## install what is missing (packages; lwIP's source)
	@scripts/setup

$(LWIP)/core/tcp.c:
	@scripts/setup
$(filter-out %/core/tcp.c,$(LWIP_SRC)): | $(LWIP)/core/tcp.c

# ---- rules -------------------------------------------------------------------

# lwIP is compiled as it comes: its warnings are not ours to mend
$(OUT)/obj/$(LWIP)/%.o: $(LWIP)/%.c | $(LWIP)/core/tcp.c
	$(say) CC $<
	@mkdir -p $(@D)
	$(Q)$(CC) $(filter-out -W%,$(CFLAGS_ALL)) $(LWIP_INC) -w -c -o $@ $<

$(OUT)/obj/netstack/%.o: netstack/%.c | $(LWIP)/core/tcp.c
	$(say) CC $<
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) $(LWIP_INC) -c -o $@ $<

$(OUT)/obj/platform/%.o: CFLAGS_ALL += -isystem /usr/include/libnl3
$(OUT)/obj/tests/unit/platform/%.o: CFLAGS_ALL += -isystem /usr/include/libnl3
$(OUT)/obj/tests/unit/netstack/%.o: CFLAGS_ALL += $(LWIP_INC)

$(OUT)/obj/%.o: %.c
	$(say) CC $<
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) -c -o $@ $<

define archive
$(1): $(2)
	$$(say) AR $$@
	@rm -f $$@
	$$(Q)ar rcs $$@ $$^
endef
$(eval $(call archive,$(PROFILES_A),$(call obj,$(PROFILES_SRC))))
$(eval $(call archive,$(ATP_A),$(call obj,$(ATP_SRC))))
$(eval $(call archive,$(NETSTACK_A),$(call obj,$(NETSTACK_SRC) $(LWIP_SRC))))
$(eval $(call archive,$(LINK_A),$(call obj,$(LINK_SRC))))
$(eval $(call archive,$(POLICY_A),$(call obj,$(POLICY_SRC))))

define link
	$(say) LD $@
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $(filter %.o %.a,$^)
endef

$(OUT)/apptunneld: $(call obj,$(DAEMON_SRC)) $(LINK_A) $(PROFILES_A)
	$(link) $(DAEMON_LIBS)
$(OUT)/apptunnel-engine: $(call obj,$(ENGINE_SRC)) $(POLICY_A) $(ATP_A) $(NETSTACK_A) $(LINK_A) $(PROFILES_A)
	$(link) $(ENGINE_LIBS)
$(OUT)/apptunnel-parser: $(call obj,profiles/parser_main.c profiles/parser_lock.c) $(PROFILES_A)
	$(link) $(PARSER_LIBS)
$(OUT)/apptunnel-ready: $(call obj,$(READY_SRC))
	$(link) $(READY_LIBS)
$(OUT)/apptunnel: $(call obj,$(CTL_SRC)) $(POLICY_A) $(PROFILES_A)
	$(link) $(CTL_LIBS)
$(OUT)/sentry: $(call obj,$(SENTRY_SRC)) $(ATP_A) $(PROFILES_A)
	$(link) $(SENTRY_LIBS)

# ---- tests --------------------------------------------------------------------
# tests/unit/PART/test_X.c is one program; PART says what it is linked with.

UNIT_SRC := $(wildcard tests/unit/*/test_*.c)
UNIT_BIN := $(patsubst tests/unit/%.c,$(OUT)/unit/%,$(UNIT_SRC))
CHECK_LIBS := -lcheck -lsubunit -lm -lrt -lpthread
unit-bins: $(UNIT_BIN)

$(OUT)/unit/profiles/%: $(OUT)/obj/tests/unit/profiles/%.o $(POLICY_A) $(PROFILES_A)
	@mkdir -p $(@D)
	$(link) $(PARSER_LIBS) -ljansson $(CHECK_LIBS)
$(OUT)/unit/atp/%: $(OUT)/obj/tests/unit/atp/%.o $(ATP_A) $(PROFILES_A)
	@mkdir -p $(@D)
	$(link) -lcrypto -ljansson $(CHECK_LIBS)
$(OUT)/unit/netstack/%: $(OUT)/obj/tests/unit/netstack/%.o $(NETSTACK_A) $(PROFILES_A)
	@mkdir -p $(@D)
	$(link) $(CHECK_LIBS)
$(OUT)/unit/platform/%: $(OUT)/obj/tests/unit/platform/%.o $(filter-out %/daemon.o,$(call obj,$(DAEMON_SRC))) $(LINK_A) $(PROFILES_A)
	@mkdir -p $(@D)
	$(link) $(DAEMON_LIBS) $(CHECK_LIBS)
# of the command line, what needs no main()
$(OUT)/unit/ctl/%: $(OUT)/obj/tests/unit/ctl/%.o $(call obj,$(filter %/ctl_load.c client/ctl_import%,$(CTL_SRC))) $(PROFILES_A)
	@mkdir -p $(@D)
	$(link) $(CTL_LIBS) $(CHECK_LIBS)
$(OUT)/unit/client/%: $(OUT)/obj/tests/unit/client/%.o $(filter-out %/engine.o,$(call obj,$(ENGINE_SRC))) $(POLICY_A) $(ATP_A) $(NETSTACK_A) $(LINK_A) $(PROFILES_A)
	@mkdir -p $(@D)
	$(link) $(ENGINE_LIBS) $(CHECK_LIBS)
$(OUT)/unit/sentry/%: $(OUT)/obj/tests/unit/sentry/%.o $(filter-out %/main.o,$(call obj,$(SENTRY_SRC))) $(ATP_A) $(PROFILES_A)
	@mkdir -p $(@D)
	$(link) $(SENTRY_LIBS) $(CHECK_LIBS)

# the cost of a packet: netstack and the mux without a kernel
$(OUT)/bench/flat: $(call obj,tests/bench/flat.c) $(NETSTACK_A) $(ATP_A) $(PROFILES_A)
	@mkdir -p $(@D)
	$(link) -lcrypto -ljansson -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc

check-unit: unit-bins ## unit tests: no root, under 2 s
	@scripts/check-unit $(UNIT_BIN)

asan: ## everything with AddressSanitizer and UBSan, into build/asan
	$(Q)$(MAKE) --no-print-directory SAN=1 all unit-bins

check: setup ## all tests; ends with "N passed, N failed, N skipped"
	@scripts/check

check-long: setup ## the long versions, for a person or a night
	@scripts/check --long

check-net: setup ## the scenarios in network namespaces only (root)
	@scripts/check net

fuzz: setup ## libFuzzer, 20 s a harness
	@tests/fuzz/run

demo: setup ## the whole product in namespaces, step by step; KEEP=1: a shell inside
	$(Q)$(MAKE) --no-print-directory all
	@scripts/demo $(if $(KEEP),--keep)

bench: setup ## a large profile, throughput beside a plain TLS relay, mdm-push with 1,000 devices
	$(Q)$(MAKE) --no-print-directory all $(OUT)/bench/flat
	@tests/bench/profile
	@tests/bench/run
	@tests/bench/mdm

lint: ## static checks: cppcheck, shellcheck, include arrows, banned functions
	@scripts/lint

$(OUT)/schema_man: $(call obj,tests/build/schema_man.c) $(PROFILES_A)
	$(link) $(PARSER_LIBS)

man: $(OUT)/schema_man ## write docs/man/apptunnel-profile.5 anew from the table of keys
	$(Q)$< >$(OUT)/apptunnel-profile.5 && cp $(OUT)/apptunnel-profile.5 docs/man/

install: all ## DESTDIR= PREFIX= SYSCONFDIR=
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(LIBEXECDIR) \
		$(DESTDIR)$(MANDIR)/man1 $(DESTDIR)$(MANDIR)/man5 $(DESTDIR)$(MANDIR)/man8 \
		$(DESTDIR)$(SYSCONFDIR)/apptunnel/profiles.d
	install -m 755 $(OUT)/apptunneld $(DESTDIR)$(PREFIX)/sbin/
	install -m 755 $(OUT)/apptunnel $(OUT)/sentry scripts/mdm-push $(DESTDIR)$(PREFIX)/bin/
	install -m 755 $(OUT)/apptunnel-engine $(OUT)/apptunnel-parser $(OUT)/apptunnel-ready \
		$(DESTDIR)$(LIBEXECDIR)/
	install -m 644 docs/man/*.1 $(DESTDIR)$(MANDIR)/man1/
	install -m 644 docs/man/*.5 $(DESTDIR)$(MANDIR)/man5/
	install -m 644 docs/man/*.8 $(DESTDIR)$(MANDIR)/man8/

clean: ## remove what the build made (the fetched lwIP source stays; `rm -rf build` takes all)
	rm -rf build/obj build/unit build/asan build/fuzz build/*.a build/schema_man $(BIN)

-include $(shell find $(OUT)/obj -name '*.d' 2>/dev/null)
