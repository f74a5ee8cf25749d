"""Captions as communities write them, in nine languages: whole sentences, and some by a pattern."""

from __future__ import annotations

KOREAN = (
    "김치찌개가 뚝배기에서 끓고 있다",
    "한복을 입은 할머니가 손녀와 절을 한다",
    "설날 아침 식탁에 떡국과 나물이 놓여 있다",
    "경복궁 근정전 앞마당에 눈이 내린다",
    "시장에서 아주머니가 빈대떡을 부친다",
    "탈춤을 추는 사람들",
    "장독대 위에 햇볕이 든다",
    "비빔밥",
    "단오날 그네를 타는 소녀",
    "서울의 밤거리, 네온 간판이 빛난다",
)
JAPANESE = (
    "祖母が縁側でお茶を飲んでいる",
    "お正月のおせち料理が重箱に並んでいる",
    "浴衣を着た子供たちが花火を見上げる",
    "京都の寺の庭に紅葉が散っている",
    "囲炉裏で魚を焼く",
    "ラーメンの上にチャーシューと卵がのっている",
    "神社の鳥居の前で写真を撮る家族",
    "夏祭りの太鼓",
    "東京の駅のホームで電車を待つ人々",
    "障子",
)
CHINESE_SIMPLIFIED = (
    "春节时全家人围着桌子吃饺子",
    "老人在公园里打太极拳",
    "屋檐下挂着红灯笼",
    "师傅在街边做拉面",
    "端午节的龙舟在河上比赛",
    "孩子们穿着新衣服放鞭炮",
    "江南水乡的石桥和小船",
    "京剧演员正在化妆",
    "茶馆里的人们喝茶聊天",
    "月饼",
)
CHINESE_TRADITIONAL = (
    "夜市裡的攤販正在煎蚵仔煎",
    "媽祖遶境的隊伍經過老街",
    "阿嬤在廚房裡包粽子",
    "廟前的石獅子與紅燈籠",
    "中秋節全家在院子裡烤肉賞月",
    "茶農在山上採茶",
    "元宵節的天燈飛上夜空",
    "布袋戲的木偶",
    "騎樓下的早餐店賣豆漿和油條",
    "鳳梨酥",
)
HINDI = (
    "दिवाली की रात आँगन में दीये जल रहे हैं",
    "दादी चूल्हे पर रोटी बना रही हैं",
    "गाँव के मेले में बच्चे झूला झूल रहे हैं",
    "लाल साड़ी पहने दुल्हन",
    "होली पर रंग खेलते लोग",
    "कुम्हार चाक पर मिट्टी का घड़ा बनाता है",
    "नदी के घाट पर सुबह की पूजा",
    "चाय की दुकान",
    "शादी में ढोल बजाते हुए लोग",
    "समोसा",
)
YORUBA = (
    "Ìyá àgbà ń gún iyán nínú odó",
    "Àwọn ọmọdé ń jó ijó ìbílẹ̀ ní ọjọ́ ọdún",
    "Ọkùnrin kan wọ agbádá àti fìlà",
    "Ọjà Ọba ní ìlú Ìbàdàn kún fún ènìyàn",
    "Àmàlà àti ọbẹ̀ ewédú nínú àwo",
    "Onílù ń lu dùndún níwájú ààfin",
    "Obìnrin tí ó ń di gèlè",
    "Eégún ń jó ní ojúde",
    "Aṣọ òkè tí wọ́n hun ní Ìṣẹ́yìn",
    "Ẹja",
)
ARABIC = (
    "عائلة تتناول الإفطار في رمضان",
    "رجل يصب القهوة العربية من دلة نحاسية",
    "عروس ترتدي ثوباً مطرزاً في ليلة الحناء",
    "سوق قديم تباع فيه التوابل والبخور",
    "أطفال يلعبون في ساحة المسجد بعد صلاة العيد",
    "خباز يخرج الخبز من التنور",
    "بيت من الطين في واحة النخيل",
    "راقصون يؤدون الدبكة",
    "امرأة تنسج سجادة على النول",
    "كبسة",
)
SPANISH = (
    "La abuela prepara mole poblano en una cazuela de barro",
    "Niños rompen una piñata en el cumpleaños",
    "Altar del Día de Muertos con flores de cempasúchil",
    "Una señora vende elotes en la plaza del pueblo",
    "Músicos con sombrero tocan el guitarrón",
    "Bailarina de danza folclórica con falda de color añil",
    "Procesión de Semana Santa en la calle de los artesanos",
    "Mate compartido una mañana de otoño",
    "¿Quién teje este rebozo? Lo teje doña Inés",
    "Café con leche y pan dulce",
)
RUSSIAN = (
    "Бабушка печёт блины на Масленицу",
    "Дети катаются на санках возле старой церкви",
    "Самовар и баранки на столе",
    "Хоровод в народных костюмах",
    "Деревянный дом с резными наличниками",
    "Женщина в платке продаёт грибы на рынке",
    "Зимняя улица в маленьком городе",
    "Борщ со сметаной",
    "Пасхальный кулич и крашеные яйца",
    "Валенки",
)
# (sentence with a gap, what goes into it), as keepers of a long set write row after row
_TEMPLATES = {
    "Korean": (
        "{}, 우리 할머니 댁에서 찍은 사진",
        "떡볶이 한복 돌담길 부채춤 갓김치 옹기 막걸리 연등 제기차기 초가집 "
        "잔칫상 송편 대청마루 거북선 노리개 보자기 호떡 강강술래 씨름 미역국",
    ),
    "Japanese": (
        "{}のある風景、祖父の家で",
        "味噌汁 着物 瓦屋根 盆踊り 桜餅 茶碗 提灯 畳 団扇 石段 "
        "お弁当 風鈴 たこ焼き 三味線 田植え 鯉のぼり 神輿 下駄 豆腐 雪かき",
    ),
    "Chinese, simplified": (
        "{},我们村里的老照片",
        "豆腐 旗袍 四合院 秧歌 粽子 紫砂壶 灯笼 竹席 剪纸 石板路 "
        "火锅 风筝 油条 二胡 插秧 年画 花轿 布鞋 砂锅 扫雪",
    ),
    "Chinese, traditional": (
        "{},外婆家的老照片",
        "豆花 旗袍 三合院 舞獅 肉粽 茶壺 燈籠 竹蓆 剪紙 石板路 "
        "火鍋 風箏 刈包 胡琴 插秧 春聯 花轎 繡花鞋 砂鍋 曬穀場",
    ),
    "Hindi": (
        "{} की तस्वीर, हमारे गाँव से",
        "पराठा लहँगा हवेली भाँगड़ा लड्डू सुराही रंगोली चटाई पतंग सीढ़ी "
        "थाली बाँसुरी जलेबी सितार धान मेहँदी पालकी जूती दाल मंदिर",
    ),
    "Yoruba": (
        "{} nílé ìyá mi àgbà",
        "ẹ̀bà aṣọ ilé ijó àkàrà ìkòkò fìtílà ẹní abẹ̀bẹ̀ àtẹ̀gùn "
        "ẹ̀fọ́ ṣẹ̀kẹ̀rẹ̀ mọ́ínmọ́ín gángan oko ère ẹṣin bàtà ẹ̀wà ọjà",
    ),
    "Arabic": (
        "{} في بيت جدتي القديم",
        "فلافل عباءة مشربية عرضة معمول إبريق فانوس حصير مروحة درج "
        "مقلوبة ناي كنافة عود حصاد نقش هودج نعال عدس مئذنة",
    ),
    "Spanish": (
        "{} en la casa de mi tía Begoña",
        "Pozole Mantón Balcón Danzón Buñuelos Jícara Farol Petate Huipil Escalón "
        "Piñón Acordeón Camarón Cajón Milpa Muñeca Carreta Alpargatas Frijoles Campanario",
    ),
    "Russian": (
        "{} в доме моей бабушки",
        "Пирог Сарафан Терем Пляска Пряник Кувшин Фонарь Половик Веер Крыльцо "
        "Уха Свирель Калач Гармонь Сенокос Роспись Сани Лапти Щи Колокольня",
    ),
}
_SENTENCES = {
    "Korean": KOREAN,
    "Japanese": JAPANESE,
    "Chinese, simplified": CHINESE_SIMPLIFIED,
    "Chinese, traditional": CHINESE_TRADITIONAL,
    "Hindi": HINDI,
    "Yoruba": YORUBA,
    "Arabic": ARABIC,
    "Spanish": SPANISH,
    "Russian": RUSSIAN,
}


def captions(language):
    """Return the thirty captions of a language."""
    gap, words = _TEMPLATES[language]
    return [*_SENTENCES[language], *(gap.format(w) for w in words.split())]


LANGUAGES = tuple(_SENTENCES)
