"""Words too common to tell passages apart, by language; short lists on purpose.

They are left out of questions, never out of documents. A word that is also a name or a term
("will", "US") costs little when it stays, and cannot be found when it goes, so doubtful ones stay.
"""

from __future__ import annotations

from typing import Final

_LISTS: Final = {
    "ar": "في من على إلى عن مع هذا هذه ذلك تلك التي الذي الذين ما ماذا هل لا لم لن إن أن كان كانت هو هي هم"
    " أو ثم قد كل بعد قبل بين حتى إذا كيف متى أين",
    "ca": "el la els les un una uns unes de del dels al als a amb en i o que per com és són no es se hi ha"
    " més on quan quin quina què qui",
    "cs": "a i v ve na je jsou se si s z ze do o u k ke po pro za od při že to ten ta co jak kdo kde kdy"
    " proč který která které být byl bylo by ale nebo jako",
    "da": "og i en et er det den de der at på til med af for som var ikke har fra vi jeg du han hun hvad"
    " hvem hvor hvordan hvornår hvorfor men om så",
    "de": "der die das den dem des ein eine einer eines einem einen und oder aber ist sind war waren wird"
    " werden wurde wurden sein hat haben ich du er sie es wir ihr mich mir dich dir uns euch in im an"
    " am auf aus bei mit nach von vom zu zum zur für über unter um als auch nicht noch nur so wie was"
    " wer wo wann warum welche welcher welches dass ob wenn durch bis sich man kann können",
    "el": "ο η το οι τα του της των τον την και ή σε στο στη στην στον στις στους με για από που πως τι"
    " ποιος ποια είναι ήταν δεν θα να ένα μια ένας αυτό ως αλλά",
    "en": "a an and are as at be been but by can could did do does for from had has have he her him his how"
    " i if in into is it its me my no not of on or our she should so some such than that the their them"
    " then there these they this those to us was we were what when where which who whom whose why will"
    " with would you your s t",
    "es": "el la los las un una unos unas de del al a ante con en entre para por sin sobre y e o u que qué"
    " como cómo cuándo cuando donde dónde quién cuál cuáles es son era fue ser está están se su sus lo"
    " le les me mi te tu no si sí más pero muy ya hay ha han",
    "et": "ja või on oli ei see need ta nad ma sa me te kui et mis kes kus millal kuidas miks ka aga oma",
    "eu": "eta edo da dira zen ziren ez bat hau hori zer nor non noiz nola du dute",
    "fi": "ja tai on oli ovat olivat ei se ne hän he minä sinä me te että kun jos mikä mitä kuka missä"
    " milloin miten miksi myös mutta kuin joka jotka",
    "fr": "le la les l un une des de du d au aux à en dans par pour sur avec sans et ou où mais que qu quoi"
    " qui quel quelle quels quelles quand comment pourquoi est sont était être a ont avait il elle ils"
    " elles on je j tu nous vous me m te t se s ce c cet cette ces son sa ses leur leurs ne n pas plus"
    " y",
    "ga": "an na agus nó is tá bhí ar i in le de do go cad cé conas",
    "hi": "का की के को में से पर और या है हैं था थी थे यह वह ये वे क्या कौन कहाँ कब कैसे क्यों कि जो भी नहीं ने एक हो इस उस",
    "hu": "a az egy és vagy de hogy nem is van volt vannak ez ezek azok mi ki hol mikor hogyan miért mint"
    " meg csak már ha",
    "hy": "և կամ է են էր էին որ ինչ ով որտեղ երբ ինչպես չի մի այս այդ այն",
    "id": "yang dan di ke dari untuk pada dengan adalah itu ini atau tidak akan telah oleh sebagai dalam apa"
    " siapa mana kapan bagaimana mengapa",
    "it": "il lo la i gli le l un uno una di del dello della dei degli delle d a al allo alla ai agli alle"
    " da dal dalla in nel nella nei con su sul sulla per tra fra e ed o ma che chi cosa come quando"
    " dove perché quale quali è sono era essere ha hanno si se non più anche io tu lui lei noi voi loro"
    " mi ti ci vi ne",
    "lt": "ir ar yra buvo ne tai kad kas kur kada kaip kodėl su į iš už po per bet jis ji jie",
    "nl": "de het een en of maar is zijn was waren wordt worden ik je jij hij zij ze we wij u in op aan bij"
    " met van voor naar uit over om te tot als dat die dit deze wat wie waar wanneer hoe waarom welke"
    " niet geen er ook dan heeft hebben",
    "no": "og i en et ei er det den de at på til med av for som var ikke har fra vi jeg du han hun hva hvem"
    " hvor hvordan når hvorfor men om så",
    "pl": "i a w we na z ze do o u od po za dla przy przez że to ten ta te jest są był była było być się nie"
    " jak co kto gdzie kiedy dlaczego który która które czy lub albo ale oraz",
    "pt": "o a os as um uma uns umas de do da dos das ao aos à às em no na nos nas por pelo pela para com"
    " sem sobre e ou mas que quem qual quais como quando onde é são era foi ser está se seu sua seus"
    " suas não mais também já há",
    "ro": "și si sau dar de la în din cu pe pentru un o al ai ale este sunt era nu se ce cine unde când cum"
    " care că mai",
    "ru": "и в во на с со к ко о об от до из за по для при у не ни но а или что чтобы как так это этот эта"
    " эти тот та те кто где когда почему какой какая какие который которая которые ли бы же был была"
    " было были есть быть он она оно они мы вы я",
    "sr": "и у на је су да се не са за од до о по то тај та што ко где када како зашто који која које али"
    " или i u na je su da se ne sa za od do o po to taj ta što ko gde kada kako zašto koji koja koje"
    " ali ili",
    "sv": "och i en ett är det den de att på till med av för som var inte har från vi jag du han hon vad vem"
    " hur när varför men om så eller vilken vilket",
    "tr": "ve veya ile bir bu şu o da de mi mı mu mü için gibi ne kim nerede nasıl neden niçin hangi değil"
    " ama çok daha en olan olarak",
    "uk": "і й та в у на з із до о об від за по для при не ні але а або що щоб як так це цей ця ці той хто"
    " де коли чому який яка які чи би же був була було були є бути він вона воно вони ми ви я",
}

STOP_WORDS: Final = {
    language: frozenset(words.casefold().split())
    for language, words in (_LISTS | {"nb": _LISTS["no"], "nn": _LISTS["no"]}).items()
}
"""Folded words by ISO 639-1 code."""
