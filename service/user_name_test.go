package service_test

import (
	"strings"
	"testing"

	"golang.org/x/text/unicode/norm"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
)

// names are some that people have, in many scripts.
var names = []string{
	"Ann", "Ann Marie", "Anne-Marie", "O'Neil", "O’Neil", "D'Angelo", "d’Artagnan", "'t Hooft", "’s Gravesande", "Ludwig van", "de la Cruz", "Saint-Exupéry",
	"José", "Jose\u0301", "Zoë", "Zoe\u0308", "François", "Franc\u0327ois", "Ñandú", "Björk", "Åsa", "A\u030asa", "Øyvind", "Æthelred", "Þór", "Ðorđe", "Łukasz",
	"Żaneta", "Čeněk", "Šárka", "Őrsi", "Ţepeş", "Ștefan", "Ğül", "İbrahim", "ıtır", "Ýmir", "Nguyễn", "Nguye\u0302\u0303n", "Trần", "Đặng", "Kʻāne", "Kekāʻulu",
	"Māori", "Ñu'u", "Straße", "STRAẞE", "Ǆemal", "Œuvre", "ß", "Ng", "O", "Q", "Ł", "Éa", "Ħal", "Ŋana",
	"Γιώργος", "Οδυσσεύς", "Ὀδυσσεύς", "Ελένη", "Иван", "Йосиф", "И\u0306осиф", "Ёлкин", "Щукина", "Ґалаґан", "Їжак", "Љиља", "Џемал", "Ќире", "Мария-Анна", "Ұлпан",
	"გიორგი", "ნინო", "Արամ", "Հայկ", "Անահիտ",
	"محمد", "مُحَمَّد", "عبد الله", "فاطمة", "علي", "نورا", "حسين-علي", "پروین", "گلشن", "ژاله", "چنگیز", "ٹیپو", "ڈاکٹر", "ہما", "یوسف", "أحمد", "إبراهيم", "آمنة",
	"דוד", "דָּוִד", "שָׂרָה", "אברהם", "בן-גוריון", "יוסף", "ג'ורג'", "ז’בוטינסקי", "ܝܘܚܢܢ", "ދިވެހި", "ߞߊ߲",
	"दिलीप", "श्रीराम", "कृष्ण", "लक्ष्मी", "অমিত", "শেখ", "রবীন্দ্রনাথ", "ਗੁਰਪ੍ਰੀਤ", "હર્ષ", "ନବୀନ", "தமிழ்", "மு", "రాము", "కృష్ణ", "ಕನ್ನಡ", "മോഹൻ", "සුනිල්", "නිමල්",
	"สมชาย", "เฉลิม", "น้ำ", "ลาว", "ສົມສັກ", "မောင်", "အောင်", "សុខ", "ཚེརིང", "བསྟན", "ꦗꦮ", "ᮞᮥᮔ᮪ᮓ",
	"王", "小明", "王小明", "歐陽", "司馬", "龍", "々木", "佐々木", "𠮷野", "田中", "さくら", "ひろし", "タロウ", "ジョン", "ヶ丘", "が", "か\u3099", "パ", "ハ\u309a", "ー", "김", "민준", "\u1100\u1161\u11ab", "남궁", "ᄀ", "ㄱ",
	"阿卜杜拉", "ᠮᠣᠩᠭᠣᠯ", "ᠴᠢᠩᠭᠢᠰ", "ⴰⵎⴰⵣⵉⵖ", "አበበ", "ኃይለ", "ሥላሴ", "ⲁⲛⲧⲱⲛⲓ", "ᏣᎳᎩ", "ᐃᓄᒃ", "ᚠᚢᚦ", "𐌲𐌿𐍄", "ꆈꌠ", "ꓡꓲꓢꓴ", "𞤀𞤣𞤤𞤢𞤥", "ꔀꔤ",
	"Jean  Luc", "Ana Maria de los Angeles", "Al-Rashid", "El Baradei", "ibn Battuta", "bin Laden-Smith", "Mac Donald", "McDonald", "St John", "D’", "Nuñez y Domínguez",
	"Ann ", " Ann", "Ann\t", "\tAnn", "Ann\n", "Ann\u00a0Marie", "Ann\u3000Marie", "Ann\u200dMarie", "Ann1", "1Ann", "Ann2nd", "Ann.", "J. R.", "A–B", "A—B", "A\u2011B", "A・B", "Ann‘s",
	"Gal·la", "Oʼzbek", "צ׳רצ׳יל", "יגאל״ן", "བསྟན་འཛིན་", "می\u200cخواهم", "क्\u200dष", "Luis'", "Sammy Davis Jr.", "2Pac",
	"Ọlá", "O\u0323la\u0301", "Ẹni", "Gbẹ́nga", "Ŵyn", "Ŷr", "Ċensa", "Ġorġ", "Ķirsons", "Ņina", "Ģirts", "Ļubova", "Ūla", "Žydrūnas", "Ėglė",
}

// notNames are refused.
var notNames = []string{
	"", " ", "  ", "Ann\nMarie", "Ann\tMarie", "-Ann", "Ann-", "- ", "-", "'", "’", "''Ann", "' Ann", "’-", ".Ann", "·Ann", "Ann·", "Ann・", "–Ann", "Ann–",
	"123", "٣", "Ⅳ", "①", "Ann,", "Ann;", "Ann!", "Ann?", "Ann(x)", "Ann/Bob", `Ann\Bob`, "Ann&Bob", "Ann_Bob", "Ann+Bob", "Ann=1", "=Ann", "@Ann", "+Ann",
	"<b>Ann</b>", "Ann<script>", `"Ann"`, "`Ann`", "Ann\"", "Ann#", "Ann$", "Ann%", "Ann*", "Ann^", "Ann|Bob", "Ann~", "{Ann}", "[Ann]", "Ann:Bob", "😀", "Ann😀",
	"Ann\u200b", "\u202eAnn", "Ann\u202e", "\ufeffAnn", "Ann\u00ad", "Ann\u200d", "\u200dAnn", "Ann \u200dMarie", "Ann\u200c\u200dMarie", "\u3164", "Ann\u3164", "An\u034fn", "Ann\ufe0f",
	"\u0301Ann", "\u0301", "Ann\u2028Marie", "Ann€", "Ann©", "Ann´", "﷽",
}

// Names of any script are taken as they are, composed; nothing else is.
func TestNames_Corpus(t *testing.T) {
	if n := len(names) + len(notNames); n < 200 || len(names) < 150 {
		t.Errorf("%d names, %d in all", len(names), n)
	}
	w := servicetest.SQLite(t)
	org := w.NewOrg()
	as := w.As(org.Admin.Token)
	u := w.CreateUser(org.GetId())
	for _, name := range names {
		got, err := w.Users.UpdateUser(as, &identityv1.UpdateUserRequest{User: &identityv1.User{Id: u.GetId(), FirstName: &name, LastName: &name}})
		if err != nil {
			t.Errorf("%q is refused: %v", name, err)
			continue
		}
		want := norm.NFC.String(strings.TrimSpace(name))
		if got.GetFirstName() != want || got.GetLastName() != want || got.GetDisplayName() != want+" "+want {
			t.Errorf("%q is kept as %q", name, got.GetFirstName())
		}
		for _, part := range []string{name, norm.NFD.String(name)} {
			list, err := w.Users.ListUsers(as, &identityv1.ListUsersRequest{Filter: &filter{Name: new(part)}})
			if err != nil || len(list.GetUsers()) != 1 || list.GetUsers()[0].GetId() != u.GetId() {
				t.Errorf("%q is not found, %v", part, err)
			}
		}
	}
	for _, name := range notNames {
		for path, user := range map[string]*identityv1.User{"user.first_name": {Id: u.GetId(), FirstName: &name}, "user.last_name": {Id: u.GetId(), LastName: &name}} {
			_, err := w.Users.UpdateUser(as, &identityv1.UpdateUserRequest{User: user})
			if servicetest.Reason(err) != "INVALID_FIELDS" {
				t.Errorf("%s %q: %v", path, name, err)
			}
		}
	}
}
