package door

import (
	"encoding/binary"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"

	"github.com/bizmetry/identity/service/answer"
)

// arriving is a stream of gRPC's transport, from which a message is read.
type arriving interface {
	ReadMessageHeader(header []byte) error
	Read(n int) (mem.BufferSlice, error)
	RecvCompress() string
}

// headerLength is that of a message on the wire: a flag and four bytes of size.
const headerLength = 5

// receive reads a message as RecvMsg does, and says in the message what is wrong with
// it. RecvMsg would answer the client by itself, without a reason: for sizes, frames
// and compression. It returns io.EOF where there is no message any more.
func receive(stream grpc.ServerStream, in *received) error {
	from, ok := grpc.ServerTransportStreamFromContext(stream.Context()).(arriving)
	if !ok {
		return stream.RecvMsg(in)
	}
	var header [headerLength]byte
	err := from.ReadMessageHeader(header[:])
	if err == nil {
		err = receiveRest(from, header, in)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) { // cut off
		in.err, err = answer.ErrMalformed, nil
	}
	return err
}

func receiveRest(from arriving, header [headerLength]byte, in *received) error {
	size := binary.BigEndian.Uint32(header[1:])
	if size > maxTransportMessage {
		in.err = answer.ErrTooLarge
		return nil
	}
	data, err := from.Read(int(size))
	if err != nil {
		return err
	}
	defer data.Free()
	switch header[0] {
	case 0:
	case 1:
		text, err := inflate(from.RecvCompress(), data)
		if err != nil {
			in.err = answer.ErrMalformed
			return nil //nolint:nilerr // it is the message's
		}
		data = mem.BufferSlice{mem.SliceBuffer(text)}
	default:
		in.err = answer.ErrMalformed
		return nil
	}
	return codec{encoding.GetCodecV2("proto")}.Unmarshal(data, in)
}

// inflate decompresses a message, as far as one may be long and a byte more.
func inflate(name string, data mem.BufferSlice) ([]byte, error) {
	known := encoding.GetCompressor(name)
	if known == nil {
		return nil, answer.ErrMalformed
	}
	r := data.Reader()
	defer r.Close()
	z, err := known.Decompress(r)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(z, MaxMessage+1))
}

// alone tells that a message was the last one.
func alone(stream grpc.ServerStream) bool {
	from, ok := grpc.ServerTransportStreamFromContext(stream.Context()).(arriving)
	var header [headerLength]byte
	return !ok || errors.Is(from.ReadMessageHeader(header[:]), io.EOF)
}
