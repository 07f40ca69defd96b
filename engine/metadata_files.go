package engine

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"strconv"
	"strings"

	"kserver/engine/vfs"
)

// partitionMetadataFile is Kafka's name of the file that ties a directory to its topic id.
const partitionMetadataFile = "partition.metadata"

// maxPropertiesBytes bounds the two small property files read here.
const maxPropertiesBytes = 64 << 10

// uuidText is Kafka's text form of a Uuid: base64 for URLs, without padding.
func uuidText(id [16]byte) string { return base64.RawURLEncoding.EncodeToString(id[:]) }

func parseUUID(s string) (id [16]byte, err error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) != len(id) {
		return id, fmt.Errorf("%w: %q is no topic or directory id", ErrCorrupt, s)
	}
	return [16]byte(b), nil
}

// readTopicID reads partition.metadata. ok is false when it is missing, short or damaged: the metadata log
// knows the id, and Create writes the file again.
func readTopicID(fsys vfs.FS, dir string) (id [16]byte, ok bool, err error) {
	b, err := vfs.ReadFile(fsys, filepath.Join(dir, partitionMetadataFile), maxPropertiesBytes)
	if isNotExist(err) {
		return id, false, nil
	}
	if err != nil {
		return id, false, err
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	if len(lines) < 2 || len(lines) > 3 || lines[0] != "version: 0" {
		return id, false, nil
	}
	text, found := strings.CutPrefix(lines[1], "topic_id: ")
	if id, err = parseUUID(strings.TrimSpace(text)); !found || err != nil {
		return id, false, nil
	}
	if len(lines) == 3 && lines[2] != topicIDChecksum(id) { // Kafka writes none
		return [16]byte{}, false, nil
	}
	return id, true, nil
}

// topicIDChecksum is a third line of partition.metadata, which Kafka does not read: a flipped bit would make a
// good id of another topic.
func topicIDChecksum(id [16]byte) string {
	return fmt.Sprintf("checksum: %08x", crc32.Checksum(id[:], castagnoli))
}

// writeTopicID writes partition.metadata without making it durable; the first commit round of the log does.
func writeTopicID(fsys vfs.FS, dir string, id [16]byte) error {
	return vfs.WriteFile(fsys, filepath.Join(dir, partitionMetadataFile),
		[]byte("version: 0\ntopic_id: "+uuidText(id)+"\n"+topicIDChecksum(id)+"\n"))
}

// metaProperties are the contents of meta.properties, version 1: who owns a log directory.
type metaProperties struct {
	nodeID      int32
	clusterID   string
	directoryID [16]byte
}

// readMetaProperties reads the file of a log directory; ok is false when it is missing.
func readMetaProperties(fsys vfs.FS, dir string) (p metaProperties, ok bool, err error) {
	path := filepath.Join(dir, metaPropertiesFile)
	b, err := vfs.ReadFile(fsys, path, maxPropertiesBytes)
	if isNotExist(err) {
		return p, false, nil
	}
	if err != nil {
		return p, false, err
	}
	values := map[string]string{}
	for _, line := range strings.Split(string(b), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		key, value, _ := strings.Cut(line, "=")
		values[strings.TrimSpace(key)] = strings.TrimSpace(value)
	}
	if v := values["version"]; v != "1" {
		return p, false, fmt.Errorf("engine: %s has version %q; only version 1 (KRaft) can be used", path, v)
	}
	nodeID, err := strconv.ParseInt(values["node.id"], 10, 32)
	if err != nil {
		return p, false, fmt.Errorf("engine: %s: node.id: %w", path, err)
	}
	p.nodeID, p.clusterID = int32(nodeID), values["cluster.id"]
	if text, found := values["directory.id"]; found {
		if p.directoryID, err = parseUUID(text); err != nil {
			return p, false, fmt.Errorf("%s: directory.id: %w", path, err)
		}
	}
	return p, true, nil
}

func (p *metaProperties) write(fsys vfs.FS, dir string) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "#\ncluster.id=%s\ndirectory.id=%s\nnode.id=%d\nversion=1\n",
		p.clusterID, uuidText(p.directoryID), p.nodeID)
	return vfs.ReplaceFileDurably(fsys, dir, filepath.Join(dir, metaPropertiesFile), b.Bytes())
}

// newUUID makes a random (version 4) id that Kafka does not reserve and whose text begins with no dash.
func newUUID() [16]byte {
	for {
		var id [16]byte
		_, _ = rand.Read(id[:]) // never fails
		id[6] = id[6]&0x0f | 0x40
		id[8] = id[8]&0x3f | 0x80
		if uuidText(id)[0] != '-' {
			return id
		}
	}
}
