package configs

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseProperties(t *testing.T) {
	const text = "# a comment \\\n" +
		"! another\r\n" +
		"\n" +
		"  plain=value\n" +
		"colon : value with blanks \n" +
		"blank  value\n" +
		"tab\tvalue\n" +
		"empty=\n" +
		"alone\n" +
		"equals==value=\n" +
		"joined=a,\\\n" +
		"    b,\\\r\n" +
		"\t# c\n" +
		"even=two\\\\\n" +
		"key\\ with\\=all\\:of\\#it=v\n" +
		"escapes=\\t|\\n|\\r|\\f|\\u0041\\u00e9|\\q|\\\\\n" +
		"pair=\\ud83d\\ude00!\n" +
		"utf8=Grüße\n" +
		"cr=1\rother=2\n" +
		"last=open\\"
	got, err := ParseProperties("f", text)
	if err != nil {
		t.Fatal(err)
	}
	want := []Setting{
		{"plain", "value", FromFile, "f:4"},
		{"colon", "value with blanks ", FromFile, "f:5"},
		{"blank", "value", FromFile, "f:6"},
		{"tab", "value", FromFile, "f:7"},
		{"empty", "", FromFile, "f:8"},
		{"alone", "", FromFile, "f:9"},
		{"equals", "=value=", FromFile, "f:10"},
		{"joined", "a,b,# c", FromFile, "f:11"},
		{"even", `two\`, FromFile, "f:14"},
		{"key with=all:of#it", "v", FromFile, "f:15"},
		{"escapes", "\t|\n|\r|\f|Aé|q|\\", FromFile, "f:16"},
		{"pair", "😀!", FromFile, "f:17"},
		{"utf8", "Grüße", FromFile, "f:18"},
		{"cr", "1", FromFile, "f:19"},
		{"other", "2", FromFile, "f:20"},
		{"last", "open", FromFile, "f:21"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestParsePropertiesMalformedEscape(t *testing.T) {
	for _, text := range []string{`a=b` + "\n" + `c=\u12`, "a=b\n" + `c=\u12g4`, "a=b\n" + `\uzzzz=1`} {
		_, err := ParseProperties("server.properties", text)
		if err == nil || !strings.Contains(err.Error(), `server.properties:2: malformed escape \u`) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
