// SPDX-License-Identifier: BSD-2-Clause

// pion_echo: a DTLS 1.2 echo server on pion as its examples have it: a goroutine for each peer. Handshakes are
// made inside Accept, so as many goroutines wait there as handshakes shall go on at a time. With --forward it echoes
// nothing, but gives each peer a connected socket to that backend, and a goroutine for what comes back.
package main

import (
	"crypto/tls"
	"flag"
	"fmt"
	"net"
	"os"

	"github.com/pion/dtls/v2"
	"github.com/pion/dtls/v2/pkg/crypto/elliptic"
)

const acceptors = 256

func die(format string, args ...interface{}) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	os.Exit(1)
}

// carry takes datagrams from one side to the other until one of them is gone.
func carry(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	data := make([]byte, 16384)
	for {
		n, err := from.Read(data)
		if err != nil {
			return
		}
		if _, err = to.Write(data[:n]); err != nil {
			return
		}
	}
}

func serve(peer net.Conn, backend string) {
	if backend == "" {
		carry(peer, peer)
		return
	}
	upstream, err := net.Dial("udp4", backend)
	if err != nil {
		peer.Close()
		return
	}
	go carry(upstream, peer)
	carry(peer, upstream)
}

func accept(listener net.Listener, backend string) {
	for {
		peer, err := listener.Accept()
		if err == nil {
			go serve(peer, backend)
		}
	}
}

func main() {
	backend := flag.String("forward", "", "a UDP `server`, as IPV4:PORT, to carry records to")
	flag.Parse()
	if flag.NArg() != 3 {
		die("usage: pion_echo [--forward IPV4:PORT] CERTIFICATE KEY IPV4:PORT")
	}
	certificate, err := tls.LoadX509KeyPair(flag.Arg(0), flag.Arg(1))
	if err != nil {
		die("%v", err)
	}
	address, err := net.ResolveUDPAddr("udp4", flag.Arg(2))
	if err != nil {
		die("%v", err)
	}
	listener, err := dtls.Listen("udp4", address, &dtls.Config{
		Certificates:         []tls.Certificate{certificate},
		CipherSuites:         []dtls.CipherSuiteID{dtls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
		EllipticCurves:       []elliptic.Curve{elliptic.X25519, elliptic.P256},
		ExtendedMasterSecret: dtls.RequestExtendedMasterSecret,
	})
	if err != nil {
		die("%v", err)
	}
	for i := 1; i < acceptors; i++ {
		go accept(listener, *backend)
	}
	accept(listener, *backend)
}
