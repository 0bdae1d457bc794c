"""A language is guessed from a sentence or two; what is none is not given one."""

from __future__ import annotations

import time

import pytest

from antiphon.domain.languages import guess_language

SENTENCES = {
    "en": "The quick brown fox jumps over the lazy dog, and this is what we have been waiting for.",
    "de": "Die Sitzung wurde auf den nächsten Montag verschoben, weil der Saal nicht frei ist.",
    "nl": "Het is niet de bedoeling dat we hier nog een uur op de trein wachten.",
    "sv": "Det är inte alltid lätt att förstå vad som har hänt med de gamla husen i staden.",
    "da": "Jeg ved ikke hvad der er blevet af den bog, som du havde med hjem i går.",
    "no": "Vi hadde ikke sett hverandre på mange år, men hun var seg selv lik etter alt som har skjedd.",
    "fi": "Hän ei ollut vielä tullut kotiin, mutta minä odotin ja luin kirjaa, joka oli pöydällä.",
    "et": "See on väga hea raamat, mida ma olen juba kaks korda lugenud, aga ta ei ole seda veel näinud.",
    "fr": "Nous avons décidé que la réunion aura lieu dans une autre salle pour des raisons de sécurité.",
    "es": "La reunión de mañana se ha cancelado porque el director no está en la ciudad.",
    "pt": "A reunião foi adiada porque não havia espaço para todos os que queriam participar.",
    "it": "La riunione è stata rinviata perché il direttore non era ancora arrivato in città con gli altri.",
    "ca": "La reunió s'ha ajornat perquè el director no és a la ciutat i els altres tampoc hi són.",
    "ro": "Întâlnirea a fost amânată pentru că nu mai este loc în sală și directorul nu a venit.",
    "hu": "A találkozót elhalasztották, mert az igazgató nem volt a városban, és csak holnap jön meg.",
    "id": "Pertemuan itu ditunda karena direktur tidak ada di kota dan akan kembali pada hari Senin.",
    "lt": "Susitikimas buvo atidėtas, nes direktorius yra ne mieste ir grįš tik kitą savaitę, kai bus laiko.",
    "pl": "Spotkanie zostało przełożone, ponieważ nie ma już miejsca w sali, a dyrektor jest na urlopie.",
    "cs": "Schůzka byla odložena, protože ředitel není ve městě a vrátí se až v pondělí, jak jsem již psal.",
    "tr": "Toplantı ertelendi çünkü müdür şehirde değil ve bu hafta çok iş var, ama sonra gelecek.",
    "ru": "Встреча была перенесена, потому что директор ещё не вернулся в город и мы его ждём.",
    "sr": "Састанак је одложен зато што директор није у граду и да ће се вратити у понедељак.",
    "el": "Η συνάντηση αναβλήθηκε επειδή ο διευθυντής δεν είναι στην πόλη.",
    "ar": "تم تأجيل الاجتماع لأن المدير ليس في المدينة وهو الذي كان من المقرر أن يتحدث في هذا الأمر.",
    "fa": "جلسه به هفته بعد موکول شد و مدیر گفت که این کار را برای آن ها انجام خواهد داد.",
    "he": "הפגישה נדחתה כי המנהל לא נמצא בעיר, אבל הוא אמר שהוא יחזור עם כל החומר ביום שני.",
    "hi": "बैठक स्थगित कर दी गई है क्योंकि निदेशक शहर में नहीं हैं और वह अगले सप्ताह आने वाले हैं।",
    "ne": "यो बैठक स्थगित गरिएको छ र उनले भने कि नेपाल मा पनि यस्तै गर्ने हो।",
    "hy": "Հանդիպումը հետաձգվել է, քանի որ տնօրենը քաղաքում չէ։",
    "ta": "இயக்குநர் நகரத்தில் இல்லாததால் கூட்டம் ஒத்திவைக்கப்பட்டது.",
    "th": "การประชุมถูกเลื่อนออกไปเพราะผู้อำนวยการไม่อยู่ในเมือง",
    "ja": "会議は延期されました。部長が出張中だからです。",
    "zh": "会议推迟了，因为主任不在城里，他下周才回来。",
    "ko": "이사님이 도시에 안 계셔서 회의가 연기되었습니다.",
}


@pytest.mark.parametrize("language", SENTENCES)
def test_a_sentence_is_enough(language: str) -> None:
    assert guess_language(SENTENCES[language]) == language


@pytest.mark.parametrize("text", ["", "   ", "12345 67.8", "Xyzzy Plugh Frobnitz", "!!!", "ACME-42 GmbH 7"])
def test_what_cannot_be_told_is_not_told(text: str) -> None:
    assert guess_language(text) is None


def test_a_foreign_word_does_not_change_the_language() -> None:
    assert guess_language(f"{SENTENCES['de']} Das Wort 東京 und «la dolce vita» stehen hier nur so.") == "de"


def test_only_the_beginning_of_a_long_text_is_looked_at() -> None:
    began = time.process_time()
    assert guess_language(SENTENCES["en"] * 200_000) == "en"
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Музей закрыт по понедельникам", "ru"),
        ("Muzeum jest zamknięte w poniedziałki", "pl"),
        ("Müze pazartesi günleri kapalıdır", "tr"),
        ("Großstraße 7", "de"),
        ("Музей зачинений у понеділок", None),
        ("Тыдзень мінуў", None),
        ("Łódź Großstraße", None),
    ],
)
def test_where_words_do_not_tell_letters_may(text: str, language: str | None) -> None:
    assert guess_language(text) == language
