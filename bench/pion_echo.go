// SPDX-License-Identifier: BSD-2-Clause

// pion_echo: a DTLS 1.2 echo server on pion as its examples have it: a goroutine for each peer. Handshakes are
// made inside Accept, so as many goroutines wait there as handshakes shall go on at a time.
package main

import (
	"crypto/tls"
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

func echo(peer net.Conn) {
	defer peer.Close()
	data := make([]byte, 16384)
	for {
		n, err := peer.Read(data)
		if err != nil {
			return
		}
		if _, err = peer.Write(data[:n]); err != nil {
			return
		}
	}
}

func accept(listener net.Listener) {
	for {
		peer, err := listener.Accept()
		if err == nil {
			go echo(peer)
		}
	}
}

func main() {
	if len(os.Args) != 4 {
		die("usage: pion_echo CERTIFICATE KEY IPV4:PORT")
	}
	certificate, err := tls.LoadX509KeyPair(os.Args[1], os.Args[2])
	if err != nil {
		die("%v", err)
	}
	address, err := net.ResolveUDPAddr("udp4", os.Args[3])
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
		go accept(listener)
	}
	accept(listener)
}
